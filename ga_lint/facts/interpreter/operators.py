"""What do operators make of values? Arithmetic and negations."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import added_terms, algebra, masks, raw_losses
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.model import Divisor
from ga_lint.facts.values import (
    UNKNOWN,
    Boundary,
    Choice,
    Const,
    Count,
    Elements,
    Items,
    Loss,
    Output,
    Product,
    Remainder,
    Symbol,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
    is_missing_count,
    matters,
)
from ga_lint.syntax.text import last_name, text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


def binary(run: Interpreter, frame: Frame, state: State, node: ast.BinOp) -> Value:
    left = run.evaluate(frame, state, node.left)
    right = run.evaluate(frame, state, node.right)
    if isinstance(node.op, ast.Mod) and not (isinstance(left, Const) and isinstance(left.value, str)):
        text = text_of(node.right)
        return Remainder(right if not isinstance(right, Unknown | Choice) else Symbol(text), text)
    if is_missing_count(left) or is_missing_count(right):
        run.record_unguarded(frame, node)
        return UNKNOWN
    rights = list(alternatives(right))
    # Of two losses of each token the left one goes on, whichever the right one is.
    alike = rights[:1] if all(isinstance(two, Elements) for two in rights) else rights
    pairs = [(one, two) for one in alternatives(left) for two in (alike if isinstance(one, Elements) else rights)]
    return choice([_operation(run, frame, node, one, two) for one, two in pairs])


def _operation(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value:
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        raw = raw_losses.arithmetic(run, frame, node, left, right)
        if raw is not None:
            return raw
    left_over = raw_losses.of_output(node, left, right)
    if left_over is not None:
        return left_over
    left = left.first if isinstance(left, Output) else left  # a model whose forward returns the loss itself
    right = right.first if isinstance(right, Output) else right
    for group in (_of_losses, _of_elements):
        value = group(run, frame, node, left, right)
        if value is not None:
            return value
    counted = _what_is_left(run, frame, node, left, right) or _of_counts(node, left, right)
    return _of_tensors(run, frame, node, left, right) if counted is None else counted


def _of_losses(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value | None:
    if not isinstance(left, Loss | Items) and not isinstance(right, Loss):
        return None  # as most are
    place = run.place(frame, node)
    match node.op, left, right:
        case ast.Add(), Loss(), Loss():
            return algebra.added(left, right)
        case ast.Add(), Items(), Items():
            return Items((*left.values, *right.values))
        case ((ast.Add() | ast.Sub()), Loss(), _):
            return added_terms.with_unknown(run, frame, left, right, node.right)
        case ((ast.Add() | ast.Sub()), _, Loss()):
            return added_terms.with_unknown(run, frame, right, left, node.left)
        case ast.Mult(), Loss(), _:
            return algebra.scaled(left, right, 1, text_of(node.right), place)
        case ast.Mult(), _, Loss():
            return algebra.scaled(right, left, 1, text_of(node.left), place)
        case ast.Div(), Loss(), _ if _is_mean_of_replicas(node):
            return left
        case ((ast.Div() | ast.FloorDiv()), Loss(), _):
            return algebra.scaled(left, right, -1, text_of(node.right), place)
    return None


def _is_mean_of_replicas(node: ast.BinOp) -> bool:
    """`loss.sum() / loss.shape[0]`: of the losses that DataParallel's replicas return, one for each, their mean."""
    match node.left:
        case ast.Call(func=ast.Attribute(value=losses, attr="sum"), args=[], keywords=[]):
            name = text_of(losses)
            return text_of(node.right) in (f"{name}.shape[0]", f"{name}.size(0)", f"len({name})", f"{name}.numel()")
    return False


def _of_elements(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value | None:
    if not isinstance(left, Elements) and not isinstance(right, Elements):
        return None
    place = run.place(frame, node)
    match node.op, left, right:
        case ((ast.Mult() | ast.Div()), Elements(), _):
            text = text_of(node.right)
            if masks.is_mask(right, text):
                return masks.masked(left, right, text, place)
            power = 1 if isinstance(node.op, ast.Mult) else -1
            return masks.weighed(algebra.each_scaled(left, right, power, text, place), right, text)
        case ast.Mult(), _, Elements():
            if masks.is_mask(left, text_of(node.left)):
                return masks.masked(right, left, text_of(node.left), place)
            return masks.weighed(right, left, text_of(node.left))
        case _, Elements(), _:
            return left
        case _, _, Elements():
            return right
    return None


def _what_is_left(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Count | None:
    """`positions - prompt_lengths.sum()`: a count of its own, written as a whole."""
    if not isinstance(node.op, ast.Sub) or not isinstance(right, Count) or isinstance(left, Count | Product | Const):
        return None
    text, place = text_of(node), run.place(frame, node)
    divisor = Divisor(text, place) if right.divisor is not None else None
    return replace(right, what=text, text=text, targets=None, divisor=divisor, place=place)


def _of_counts(node: ast.BinOp, left: Value, right: Value) -> Value | None:
    match node.op, left, right:
        case ast.Div(), Const(value=1 | 1.0), _:
            inverse = right if isinstance(right, Product) else Product(((right, text_of(node.right), 1),))
            return Product(tuple((factor, text, -power) for factor, text, power in inverse.factors))
        case ast.Mult(), Items(values=values), _ if any(isinstance(one, Count) for one in values):
            return left  # room for the counts of all ranks
        case ((ast.Div() | ast.FloorDiv()), Count(), Symbol(text=name)) if algebra.WORLD_NAME.search(name):
            return replace(left, per_rank=True)
        case ((ast.Div() | ast.FloorDiv()), Count(), _) if algebra.WORLD_NAME.search(text_of(node.right)):
            return replace(left, per_rank=True)
        case ((ast.Mult() | ast.Div()), _, _) if product := algebra.product(
            left, text_of(node.left), right, text_of(node.right), 1 if isinstance(node.op, ast.Mult) else -1
        ):
            return product
        case ((ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv()), (Product() | Count()), _):
            return left
        case ((ast.Add() | ast.Mult()), _, Count()):
            return right
        case _, Const(value=int() | float() as one), Const(value=int() | float() as two):
            number = _number(node.op, one, two)
            named = isinstance(left, Const) and isinstance(right, Const) and bool(left.text or right.text)
            if named and isinstance(number, Const):  # a default of the script, not a fixed number
                return Symbol(text_of(node), number.value)  # type: ignore[arg-type]
            return number
    return None


def _of_tensors(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value:
    match node.op, left, right:
        case ast.Add(), Items(values=first), _ if isinstance(node.left, ast.Tuple) and any(map(matters, first)):
            return Items((*first, *right.values)) if isinstance(right, Items) else left  # `(loss,) + outputs[2:]`
        case ast.Mult(), Tensor(kind=TensorKind.MASK), Tensor(kind=TensorKind.LOGITS | TensorKind.LOG_PROBS):
            return right
        case ast.Mult(), Tensor(kind=TensorKind.LOGITS | TensorKind.LOG_PROBS), Tensor(kind=TensorKind.MASK):
            return left
        case ast.Mult(), Tensor(kind=TensorKind.MASK), (Unknown() | Symbol() | Tensor()):
            both = isinstance(right, Tensor) and right.kind is TensorKind.MASK
            return left if both else replace(left, text=text_of(node))  # weights, of which some are zero
        case ast.Mult(), (Unknown() | Symbol() | Tensor()), Tensor(kind=TensorKind.MASK):
            return replace(right, text=text_of(node))
        case ((ast.Mult() | ast.BitAnd() | ast.BitOr()), Tensor(kind=TensorKind.MASK), _):
            return left
        case ((ast.Mult() | ast.BitAnd() | ast.BitOr()), _, Tensor(kind=TensorKind.MASK)):
            return right
        case ((ast.Add() | ast.Mult()), _, _):
            return _combined(run, frame, node, left, right)
        case _, Tensor(), _:
            return left
        case _, _, Tensor():
            return right
        case _, (Symbol() | Const()), (Symbol() | Const()):
            return Symbol(text_of(node))
    return UNKNOWN


def _number(operator: ast.operator, left: float, right: float) -> Value:
    match operator:
        case ast.Add():
            return Const(left + right)
        case ast.Sub():
            return Const(left - right)
        case ast.Mult():
            return Const(left * right)
        case ast.FloorDiv() if right:
            return Const(left // right)
        case ast.Div() if right:
            return Const(left / right)
    return UNKNOWN


def _combined(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value:
    """`[-100] * n + ids` and the like: lists in which the ignore index stands."""
    for part in (left, right):
        if isinstance(part, Items) and any(one == Const(-100) for one in part.values):
            place = run.place(frame, node)
            step = place.as_step("-100 put into the labels")
            return Tensor(TensorKind.LABELS, ragged=(step,))
    if isinstance(node.op, ast.Mult) and right == Const(-100) and _is_of_ones(node.left):
        return Tensor(TensorKind.LABELS, ragged=(run.place(frame, node).as_step("filled with -100"),))
    for part in (left, right):
        if isinstance(part, Tensor) and part.ragged:
            return part
    for part in (left, right):
        if isinstance(part, Tensor):
            return part
    if isinstance(left, Symbol | Const) and isinstance(right, Symbol | Const):
        return Symbol(text_of(node))
    return UNKNOWN


def _is_of_ones(node: ast.expr) -> bool:
    """`torch.ones(rows, width, dtype=torch.long)`."""
    return isinstance(node, ast.Call) and last_name(node.func) in ("ones", "ones_like")


def unary(run: Interpreter, frame: Frame, state: State, node: ast.UnaryOp) -> Value:
    value = run.evaluate(frame, state, node.operand)
    match node.op, value:
        case ast.Not(), Boundary():
            return replace(value, negated=not value.negated)
        case ast.Not(), Remainder(steps=steps, written=written):
            return Boundary(steps, written=written)
        case ast.Not(), Const(value=inner):
            return Const(not inner)
        case ast.USub(), Const(value=int() | float() as number):
            return Const(-number)
        case ((ast.USub() | ast.UAdd() | ast.Invert()), _):
            return value
    return UNKNOWN
