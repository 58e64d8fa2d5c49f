"""What does a loss call give? Its reduction, its level and where its targets come from."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter.picked import picks_labelled
from ga_lint.facts.model import Divisor, Level, LossSite, LossTerm, Place, Reduction
from ga_lint.facts.values import (
    Built,
    Choice,
    Const,
    Count,
    Elements,
    Loss,
    Symbol,
    Tensor,
    TensorKind,
    Value,
    alternatives,
    choice,
)
from ga_lint.knowledge.model import LossRow
from ga_lint.syntax.text import last_name, text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

_VOCABULARY = frozenset(("vocab_size", "n_vocab", "vocabulary_size", "padded_vocab_size"))
_SPAN_ENDS = re.compile(r"\b(start|end)_positions?\b")  # as transformers' heads for questions call their targets


def loss_of(call: Call, row: LossRow, built: Built | None = None) -> Value:
    """The value of calling a loss that is known."""
    run = call.run
    place = run.place(call.frame, call.node)
    given = _reduction(built or call) or Const(row.default)
    labels = telling(call.argument(row.labels, "target", "labels", "targets"))
    logits = telling(call.argument(0, "input", "logits"))
    count = call.argument(row.count_at, row.count) if row.count else None
    results = []
    for reduction in alternatives(given):
        site = _site(call, row, built, labels, logits, place)
        results.append(_reduced_as(site, reduction, row, count))
    return choice(results)


def _reduction(given: Built | Call) -> Value | None:
    """As it is passed, today or by the names that torch had before 0.4.1."""
    if given.argument(None, "reduce") == Const(False):
        return Const("none")
    if given.argument(None, "size_average") == Const(False):
        return Const("sum")
    return given.argument(None, "reduction")


def telling(value: Value | None) -> Value | None:
    """Of the tensors that it may be, the one that says most: counts that can differ on one path can differ."""
    tensors = [one for one in alternatives(value) if isinstance(one, Tensor)] if isinstance(value, Choice) else []
    return max(tensors, key=lambda one: (len(one.ragged), one.flat, one.shifted)) if tensors else value


def _reduced_as(site: LossSite, reduction: Value, row: LossRow, count: Value | None) -> Value:
    if isinstance(count, Count):
        return Loss((LossTerm(replace(site, reduction=Reduction.SUM, counted=True)),))
    match reduction:
        case Const(value="none"):
            return Elements(site, inner=1 if "kl_div" in row.name.lower() or "KLDiv" in row.name else 0)
        case Const(value="sum"):
            return Loss((LossTerm(replace(site, reduction=Reduction.SUM)),))
        case Const(value="mean" | "batchmean"):
            return Loss((LossTerm(replace(site, reduction=Reduction.MEAN, divisor=_divisor(site, row))),))
        case _:
            return Loss((LossTerm(replace(site, reduction=Reduction.UNKNOWN, confidence=Confidence.POSSIBLE)),))


def _site(
    call: Call, row: LossRow, built: Built | None, labels: Value | None, logits: Value | None, place: Place
) -> LossSite:
    tensors = [value for value in (labels, logits) if isinstance(value, Tensor)]
    ignore = built.argument(None, "ignore_index") if built else call.argument(None, "ignore_index")
    target = labels if isinstance(labels, Tensor) else None
    named = target is not None and target.kind is TensorKind.LABELS and target.from_batch
    if ignore is None:
        ignore_text = str(row.ignore_index) if row.ignore_index else None
    else:
        ignore_text = _ignored_text(ignore, call, built)
    ragged = target.ragged if target else ()
    # timid: a network's own number may never occur in what it is given; a tokenizer's padding id does
    given = named or not call.frame.name.endswith("forward") or isinstance(ignore, Symbol)
    if ignore is not None and _is_padding(ignore) and given:
        ragged = (*ragged, place.as_step(f"targets equal to `{ignore_text}` do not count"))
    positions = _has_positions(call.argument_node(0, "input")) or _is_padded(labels)
    node = call.argument_node(row.labels, "target", "labels", "targets")
    ignored = ignore is not None or (row.level == "element" and picks_labelled(call, node))
    return LossSite(
        row.name,
        Reduction.NONE,
        Level.SAMPLE if _is_of_spans(node) else _level(row, tensors, positions, ignored=ignored),
        place,
        place,
        Confidence.CERTAIN,
        ignore_index=ignore_text,
        shifted=any(tensor.shifted for tensor in tensors) or None,
        labels=text_of(node) if node is not None else None,
        labels_from=target.origin if target else "",
        labels_remade=target is not None and target.remade,
        weighted=_is_weighted(built, call),
        ragged=ragged,
        constructor=built.place if built else None,
        scope=call.frame.name,
        depth=len(call.frame.loops),
        named_labels=named,
        explicit_ignore=ignore is not None,
        targets=target.picked if target else None,
    )


def _level(row: LossRow, tensors: list[Tensor], positions: bool, *, ignored: bool) -> Level:
    """What its elements are: as the knowledge says, else as the shapes of what it is given tell."""
    if any(tensor.per_sample for tensor in tensors):
        return Level.SAMPLE
    if row.level == "shape" and (positions or any(tensor.shifted or tensor.flat for tensor in tensors)):
        return Level.TOKEN
    known = {"token": Level.TOKEN, "sample": Level.SAMPLE}.get(row.level, Level.UNKNOWN)
    return Level.TOKEN if ignored and known is Level.UNKNOWN else known  # a whole sample is never ignored


def _is_of_spans(labels: ast.expr | None) -> bool:
    """One start and one end of each row; what is ignored is a row whose answer was cut off."""
    return labels is not None and _SPAN_ENDS.search(text_of(labels)) is not None


def _has_positions(logits: ast.expr | None) -> bool:
    """`logits.transpose(1, 2)`: the classes are put before an axis of positions, each with a target of its own."""
    match logits:
        case ast.Call(func=ast.Attribute(attr="transpose" | "swapaxes"), args=[one, two]):
            return {text_of(one), text_of(two)} in ({"1", "2"}, {"-1", "-2"}, {"1", "-1"})
        case ast.Call(func=ast.Attribute(attr="permute"), args=axes):
            return [text_of(axis) for axis in axes] == ["0", "2", "1"]
        case ast.Call(func=ast.Attribute(attr="view" | "reshape"), args=[rows, classes]):
            # Who chooses among the words of a vocabulary does so at each position.
            return text_of(rows) == "-1" and last_name(classes) in _VOCABULARY
    return False


def _is_padded(labels: Value | None) -> bool:
    """Rows that are padded hold many targets each."""
    return isinstance(labels, Tensor) and labels.kind is TensorKind.LABELS and bool(labels.ragged)


def _divisor(site: LossSite, row: LossRow) -> Divisor | None:
    """How many targets a mean is over that leaves those out which are equal to the ignore index."""
    if row.ignore_index is None or site.ignore_index is None or site.labels is None or site.weighted:
        return None
    return Divisor(f"({site.labels} != {site.ignore_index}).sum()", site.call)


def _is_weighted(built: Built | None, call: Call) -> bool:
    weight = built.argument(0, "weight") if built else call.argument(2, "weight")
    return weight is not None and weight != Const(None)


def log_probs(call: Call, of: Value) -> Elements:
    """The log-probabilities of the targets: an unreduced loss but for its sign, of tokens unless `of` are of rows."""
    place = call.run.place(call.frame, call.node)
    level = Level.SAMPLE if isinstance(of, Tensor) and of.per_sample else Level.TOKEN
    site = LossSite("log_softmax", Reduction.NONE, level, place, place, Confidence.CERTAIN)
    return Elements(replace(site, scope=call.frame.name, depth=len(call.frame.loops)))


def _is_padding(value: Value) -> bool:
    """Is this ignore index the padding id, which only occurs where rows have different lengths?"""
    match value:
        case Symbol(text=text):
            return "pad" in text.lower()
        case Const(value=int() as number):
            return number >= 0
    return False


def _ignored_text(value: Value, call: Call, built: Built | None) -> str | None:
    """As the loop can write it: of a criterion that was built elsewhere, with names of its own, its attribute."""
    text = _text_of(value, call)
    if call.frame.depth or (text or "").lstrip("-").isdecimal():
        return text
    if built is not None and isinstance(call.node.func, ast.Attribute):
        return f"{text_of(call.node.func)}.ignore_index"
    node = call.argument_node(None, "ignore_index")
    return text or (text_of(node) if built is None and node is not None else None)


def _text_of(value: Value, call: Call) -> str | None:
    """As it is written, unless that name is one of a helper's own."""
    match value:
        case Const(value=inner, text=text):
            return text if text and not call.frame.depth else str(inner)
        case Symbol(text=text):
            return text
    return None


def guessed_loss(call: Call, name: str) -> Value:
    """A criterion that is only known by its name."""
    place = call.run.place(call.frame, call.node)
    tensors = [value for value in call.positional if isinstance(value, Tensor)]
    level = Level.TOKEN if any(tensor.shifted or tensor.flat for tensor in tensors) else Level.UNKNOWN
    ragged = tuple(step for tensor in tensors for step in tensor.ragged)
    site = LossSite(name, Reduction.UNKNOWN, level, place, place, Confidence.POSSIBLE, ragged=ragged)
    return Loss((LossTerm(site),))
