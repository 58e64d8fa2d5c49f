"""What does a comparison say? Whether a window ends, which targets count, or what is known beforehand."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter.elements import is_ignore_index, tells_length
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.interpreter.remade import as_written, mask_of
from ga_lint.facts.values import (
    UNKNOWN,
    Boundary,
    Const,
    Count,
    Counter,
    Remainder,
    Symbol,
    Tensor,
    TensorKind,
    Unknown,
    Value,
)
from ga_lint.syntax.parsed import FunctionNode
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def _counted_up(frame: Frame, node: ast.Compare, operator: ast.cmpop, length: bool, limit: Value) -> Value:
    """`count == steps`, `count < steps`, `len(losses) < steps`: has the window come to its end?"""
    text = text_of(node.comparators[0])
    if isinstance(limit, Unknown) and (length or isinstance(operator, ast.Eq)):
        limit = Symbol(text)
    elif not isinstance(limit, Const | Symbol) and isinstance(operator, ast.GtE) and _starts_anew(frame, node.left):
        limit = Symbol(text)  # `self.count >= self.target`, which the next window sets
    negated = isinstance(operator, ast.NotEq | ast.Lt)
    if not isinstance(limit, Const | Symbol) or (negated and not length and not _starts_anew(frame, node.left)):
        return UNKNOWN
    return Boundary(limit, negated=negated, written=text)


def _starts_anew(frame: Frame, counter: ast.expr) -> bool:
    """Is the counter set to 0 again, in the loop or where it calls? One that never is counts a schedule's steps."""
    parsed, name = frame.scope.parsed, text_of(counter)
    if len(frame.loops) > frame.inherited:
        body = frame.loops[-1].body.span
    elif frame.loops and isinstance(frame.node, FunctionNode):
        body = parsed.span_of(frame.node)
    else:
        return False
    return any(
        body.contains(parsed.span_of(node))
        and any(text_of(target) == name for target in node.targets)
        and isinstance(node.value, ast.Constant)
        and node.value.value == 0
        for node in parsed.on_rows(ast.Assign, body.start.row, body.end.row)
    )


def _leaves_out(node: ast.Compare) -> bool:
    return len(node.ops) == 1 and isinstance(node.ops[0], ast.NotEq)


def compare(run: Interpreter, frame: Frame, state: State, node: ast.Compare) -> Value:
    left = run.evaluate(frame, state, node.left)
    right = run.evaluate(frame, state, node.comparators[0])
    match left, node.ops[0]:
        case Remainder(steps=steps, written=written), ast.Eq():
            return Boundary(steps, written=written)
        case Remainder(steps=steps, written=written), (ast.NotEq() | ast.Gt() | ast.Lt()):
            return Boundary(steps, negated=True, written=written)
        case Counter(length=length), ast.Eq() | ast.GtE() | ast.NotEq() | ast.Lt() as operator:
            return _counted_up(frame, node, operator, length, right)
        case Count(is_trainers=True), (ast.Is() | ast.IsNot()) as operator if right == Const(None):
            return Const(isinstance(operator, ast.IsNot))  # given a name: `counted = num_items_in_batch is not None`
    if isinstance(left, Tensor) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.Gt | ast.GtE | ast.Lt):
        other = as_written(right, node.comparators[0], frame.depth) if _leaves_out(node) else ""
        return mask_of(left, text_of(node), other)
    if isinstance(right, Tensor) and tells_length(right) and isinstance(node.ops[0], _ORDERS):
        return Tensor(TensorKind.MASK, text_of(node))  # `positions < lengths[:, None]`
    if isinstance(left, Unknown | Symbol) and is_ignore_index(right) and isinstance(node.ops[0], ast.NotEq | ast.Eq):
        return Tensor(TensorKind.MASK, text_of(node))
    if isinstance(left, Const) and isinstance(right, Const) and len(node.ops) == 1:
        match node.ops[0]:
            case ast.Eq():
                return Const(left.value == right.value)
            case ast.NotEq():
                return Const(left.value != right.value)
            case ast.Is():
                return Const(left.value is right.value)
            case ast.IsNot():
                return Const(left.value is not right.value)
    return UNKNOWN
