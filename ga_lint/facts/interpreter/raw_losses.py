"""Which arithmetic on predictions and targets is a loss, although no loss is called?

`(predictions - labels) ** 2`, `(student - teacher).abs()` and `p * (log_p - log_q)` are what `mse_loss`, `l1_loss` and
`kl_div` return without a reduction.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import cross_entropies
from ga_lint.facts.interpreter.elements import names_targets
from ga_lint.facts.interpreter.paths import Frame
from ga_lint.facts.model import Level, LossSite, Reduction
from ga_lint.facts.values import Const, Elements, Output, Symbol, Tensor, TensorKind, Unknown, Value
from ga_lint.syntax.text import last_name, text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter

DISTANCES = frozenset({"pow", "square", "abs"})  # functions and methods that make a loss of a difference
_PREDICTED = (TensorKind.LOGITS, TensorKind.LOG_PROBS, TensorKind.OTHER)


def arithmetic(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value | None:
    """A difference, or what becomes of one; None where the operation is neither."""
    written_out = cross_entropies.difference(run, frame, node, left, right)
    if written_out is not None:
        return written_out
    match node.op:
        case ast.Sub():
            return _difference(left, right)
        case ast.Pow() if isinstance(left, Tensor) and left.difference and is_even(right):
            return distance(run, frame, node, left)
        case ast.Mult() if isinstance(left, Tensor) and isinstance(right, Tensor):
            if left.kind is right.kind is TensorKind.LOG_PROBS:
                return Elements(_site(run, frame, node, left, "a divergence"), inner=1)
    return None


def of_output(node: ast.BinOp, left: Value, right: Value) -> Tensor | None:
    """`target - model(x)`: what a model returned is predictions here, and no loss."""
    for output, other in ((left, node.right), (right, node.left)):
        if isinstance(node.op, ast.Sub) and isinstance(output, Output) and names_targets(last_name(other)):
            return Tensor(TensorKind.OTHER, text_of(other), difference=True)
    return None


def is_even(power: Value | None) -> bool:
    """Is a difference to this power never negative?"""
    return isinstance(power, Const) and power.value in (2, 2.0, 4)


def distance(run: Interpreter, frame: Frame, node: ast.expr, difference: Tensor) -> Elements:
    """A difference squared, or without its sign: a loss for each of its elements."""
    return Elements(_site(run, frame, node, difference, "a squared difference"))


def _difference(left: Value, right: Value) -> Tensor | None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Tensor) and one.kind is TensorKind.LABELS and _is_predicted(other):
            return replace(one, difference=True)
    if (
        isinstance(left, Tensor)
        and isinstance(right, Tensor)
        and left.kind is right.kind
        and left.kind in _PREDICTED[:2]
    ):
        return replace(left, difference=True)
    return None


def _is_predicted(value: Value) -> bool:
    if isinstance(value, Tensor):
        return value.kind in _PREDICTED
    return isinstance(value, Unknown | Symbol | Output)


def _site(run: Interpreter, frame: Frame, node: ast.expr, tensor: Tensor, callee: str) -> LossSite:
    place = run.place(frame, node)
    targets = tensor.kind is TensorKind.LABELS
    level = Level.SAMPLE if tensor.per_sample else Level.TOKEN if tensor.flat or tensor.shifted else Level.UNKNOWN
    return LossSite(
        callee,
        Reduction.NONE,
        level,
        place,
        place,
        Confidence.LIKELY,  # what is subtracted is known by its name
        shifted=tensor.shifted or None,
        labels=tensor.text if targets else None,
        labels_from=tensor.origin if targets else "",
        labels_remade=targets and tensor.remade,
        ragged=tensor.ragged,
        scope=frame.name,
        depth=len(frame.loops),
        named_labels=targets and tensor.from_batch,
    )
