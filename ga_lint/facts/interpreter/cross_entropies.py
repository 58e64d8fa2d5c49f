"""Which steps on logits are a cross-entropy that is written out? `logits.logsumexp(-1) - logits.gather(-1, targets)`.

What the targets' logits leave of the logarithm of the sum over the vocabulary is what `cross_entropy` gives without a
reduction; the logits less that logarithm are log-probabilities.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model import Level, LossSite, Reduction
from ga_lint.facts.values import UNKNOWN, Const, Elements, Items, Part, Tensor, TensorKind, Value

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.calls import Call
    from ga_lint.facts.interpreter.paths import Frame

_WHOLE = frozenset((Part.NORMALISER, Part.TARGETS))


def after_step(call: Call, logits: Value, name: str, *, given: int) -> Tensor | None:
    """What a method makes of logits, or a function, whose arguments start at `given`; None if that leads nowhere."""
    if not isinstance(logits, Tensor) or logits.kind is not TensorKind.LOGITS:
        return None
    axis = call.argument(given, "dim", "axis")
    match name, logits.part:
        case "exp", None:
            return replace(logits, part=Part.EXPONENTIALS)
        case "sum", Part.EXPONENTIALS if axis not in (None, Const(None)):
            return replace(logits, part=Part.TOTAL)
        case ("log", Part.TOTAL) | ("logsumexp", None):
            return replace(logits, part=Part.NORMALISER)
        case "gather", None:
            return _of_targets(logits, call.argument(given + 1, "index") or UNKNOWN)
    return None


def indexed(run: Interpreter, frame: Frame, base: Tensor, key: Value, node: ast.Subscript) -> Tensor | Elements | None:
    """`logits[torch.arange(rows), targets]`, and the same of log-probabilities: one for each target.

    `logits[torch.arange(rows), last]` are those of one position of each row, where the positions are not in one row.
    """
    match node.slice, key:
        case ast.Tuple(elts=[ast.Name() | ast.Call(), *_]), Items(values=[_, *_, Tensor() as last]):
            if last.kind is not TensorKind.LABELS and not base.flat:
                return None
            if base.kind is TensorKind.LOGITS and base.part is None:
                return _of_targets(base, last)
            if base.kind is TensorKind.LOG_PROBS:
                return _elements(run, frame, node, _of_targets(base, last))
    return None


def _of_targets(logits: Tensor, targets: Value) -> Tensor:
    known = targets if isinstance(targets, Tensor) else Tensor(TensorKind.OTHER)
    of_both = replace(
        logits,
        part=Part.TARGETS,
        flat=logits.flat or known.flat,
        shifted=logits.shifted or known.shifted,
        ragged=(*logits.ragged, *known.ragged),
        kept=logits.kept or known.kept,
    )
    return replace(of_both, text=known.text, origin=known.origin, from_batch=known.from_batch, remade=known.remade)


def difference(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value | None:
    """`normaliser - of_targets`, in any order and with any sign; `logits - normaliser`, the log-probabilities."""
    if not isinstance(left, Tensor) or not isinstance(right, Tensor) or not isinstance(node.op, ast.Sub | ast.Add):
        return None
    if {left.part, right.part} == _WHOLE:
        return _elements(run, frame, node, left if left.part is Part.TARGETS else right)
    if isinstance(node.op, ast.Sub) and left.kind is TensorKind.LOGITS and right.part is Part.NORMALISER:
        return replace(left, kind=TensorKind.LOG_PROBS) if left.part is None else None
    return None


def _elements(run: Interpreter, frame: Frame, node: ast.expr, targets: Tensor) -> Elements:
    place = run.place(frame, node)
    known = targets.flat or targets.shifted or bool(targets.ragged)
    site = LossSite(
        "a cross-entropy that is written out",
        Reduction.NONE,
        Level.SAMPLE if targets.per_sample else Level.TOKEN if known else Level.UNKNOWN,
        place,
        place,
        Confidence.LIKELY,  # what the logits are is known by a name
        shifted=targets.shifted or None,
        labels=targets.text or None,
        labels_from=targets.origin,
        labels_remade=targets.remade,
        ragged=targets.ragged,
        scope=frame.name,
        depth=len(frame.loops),
        named_labels=targets.from_batch,
    )
    return Elements(site)
