"""What loss does a model, a head or the Trainer compute by itself? Who called it sees the result alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.interpreter import losses
from ga_lint.facts.model import HEADS_LOSS, OWN_LOSS, SUPERS_LOSS, Level, LossSite, LossTerm, Place, Reduction
from ga_lint.facts.values import (
    COUNT,
    UNKNOWN,
    Choice,
    Const,
    Count,
    Items,
    Loss,
    Model,
    Output,
    Table,
    Tensor,
    TensorKind,
    Value,
    choice,
    matters,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

OWN_LABELS = ("labels", "lm_labels", "masked_lm_labels")  # by the names that transformers gave them before 4.0 too


def _labels_text(source: Tensor | None, passed: bool) -> str:
    if source is None or not source.origin:
        return ""
    return source.origin if passed or source.kind is TensorKind.LABELS else f'{source.origin}["labels"]'


def loss_of_super(call: Call, forwarded: bool) -> Value:
    """What the Trainer's own compute_loss returns: a sum over the count and times the ranks, or a mean without one."""
    place = call.run.place(call.frame, call.node)
    site = LossSite(
        SUPERS_LOSS,
        Reduction.SUM if forwarded else Reduction.MEAN,
        Level.UNKNOWN,
        place,
        place,
        Confidence.CERTAIN,
        counted=forwarded,
        depth=len(call.frame.loops),
    )
    loss = Loss((LossTerm(site),))
    with_outputs = Items((loss, Output(Model(), loss, loss)))
    match call.argument(2, "return_outputs"):
        case Const(value=True):
            return with_outputs
        case None | Const():
            return loss
        case _:
            return choice([loss, with_outputs])


def loss_of_head(call: Call, level: Level, confidence: Confidence = Confidence.CERTAIN) -> Value:
    """`loss_function(logits, labels, ...)` of a transformers model: a sum over the count where that is handed on."""
    place = call.run.place(call.frame, call.node)
    counted = isinstance(call.argument(None, COUNT), Count)
    labels = call.argument(1, "labels")
    site = LossSite(
        HEADS_LOSS,
        Reduction.SUM if counted else Reduction.MEAN,
        level,
        place,
        place,
        confidence,
        ignore_index="-100",
        labels=labels.text if isinstance(labels, Tensor) else None,
        ragged=labels.ragged if isinstance(labels, Tensor) else (),
        counted=counted,
        scope=call.frame.name,
        named_labels=True,
    )
    return Loss((LossTerm(site),))


def output_of(call: Call, model: Model) -> Value:
    """What a model returns for a batch: its own loss when it was given labels."""
    unpacked = next((value for name, value in call.named if name == "**"), None)
    if isinstance(unpacked, Choice):
        return choice([_output(call, model, one) for one in unpacked.values])
    return _output(call, model, unpacked)


def _output(call: Call, model: Model, unpacked: Value | None) -> Value:
    place = call.run.place(call.frame, call.node)
    labels = call.argument(None, *OWN_LABELS)
    if isinstance(unpacked, Table):
        labels = next((one for key, one in unpacked.entries if key in OWN_LABELS), labels)
    batch = (unpacked, *call.positional)
    kinds = (TensorKind.BATCH, TensorKind.LABELS, TensorKind.OTHER)
    whole = [one for one in batch if isinstance(one, Tensor) and one.kind in kinds]
    targets = [one for one in whole if one.kind is TensorKind.LABELS]
    telling = losses.telling(labels)
    source = telling if isinstance(telling, Tensor) else next(iter((*targets, *whole)), None)
    count = next((one for _, one in call.named if _holds_count(one)), call.argument(None, COUNT))
    inner = call.frame.name.endswith("forward") and call.receiver_text == "self"  # a layer, if it gets no targets
    has_loss = labels is not None or any(name == "**" for name, _ in call.named) or bool(call.positional and not inner)
    if not has_loss:
        return Output(model, UNKNOWN, UNKNOWN)
    site = LossSite(
        f"{text_of(call.node.func)}'s {OWN_LOSS}",
        Reduction.SUM if _holds_count(count) else Reduction.MEAN,
        # What is padded or masked in the labels is tokens, whatever the network is.
        Level.TOKEN if model.level is Level.UNKNOWN and source and source.ragged else model.level,
        place,
        place,
        Confidence.LIKELY,
        labels=source.text if source else None,
        labels_from=_labels_text(source, labels is not None),
        labels_remade=source is not None and source.remade,
        shifted=model.shifts,
        ragged=source.ragged if source else (),
        tags=_tags(model, place),
        counted=_holds_count(count),
        scope=call.frame.name,
        depth=len(call.frame.loops),
        named_labels=True,
    )
    loss = Loss((LossTerm(site),))
    return Output(model, loss, loss)


def _tags(model: Model, place: Place) -> tuple[Step, ...]:
    """A head that tags tokens counts none of its padding."""
    tagger = next((part for part in (model.head or "").split(".") if part.endswith("ForTokenClassification")), None)
    return (place.as_step(f"`{tagger}` counts no padding"),) if tagger else ()


def _holds_count(value: Value | None) -> bool:
    """The Trainer's count, or a dictionary of keyword arguments that it is in under another name."""
    match value:
        case Count():
            return True
        case Table(entries=entries):
            return any(isinstance(one, Count) and one.is_trainers for _, one in entries)
    return False


def tells_of_loss(value: Value) -> bool:
    """A loss, an output with one in it, or what a head of a library's own returned."""
    if isinstance(value, Table):
        return any(matters(one) for _, one in value.entries)
    return matters(value) or (isinstance(value, Output) and matters(value.loss))


def of_network(value: Value) -> Value:
    """What a language model's forward returned: the targets that it shifts are the batch's, as with any model's own."""
    match value:
        case Loss(terms=terms):
            return replace(value, terms=tuple(replace(term, site=_with_targets(term.site)) for term in terms))
        case Items(values=values):
            return Items(tuple(map(of_network, values)))
        case Choice(values=values):
            return Choice(tuple(map(of_network, values)))
        case Table(entries=entries):
            return replace(value, entries=tuple((key, of_network(one)) for key, one in entries))
    return value


def _with_targets(site: LossSite) -> LossSite:
    shifts = site.level is Level.TOKEN and site.shifted is True and site.ignore_index is not None
    return replace(site, named_labels=site.named_labels or shifts)
