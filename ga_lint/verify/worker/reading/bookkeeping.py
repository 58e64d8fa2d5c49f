"""Which statement of a loop can be left out when it fails here? One that reaches neither the gradient nor a gate.

Loops log, evaluate and save; what those lines need (a tokenizer, a metric, a file) is not what the check is about.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ga_lint.verify.worker.reading.sources import bound_names, dotted, last

_ESSENTIAL_CALLS = frozenset(
    {"backward", "manual_backward", "step", "zero_grad", "unscale_", "update", "mul_", "div_", "accumulate", "no_sync"}
)

_IN_HELPERS = frozenset({"backward", "manual_backward", "step", "zero_grad"})


def failing_statement(loop: ast.stmt, row: int, reached: Sequence[ast.AST] = ()) -> ast.stmt | None:
    """The smallest statement of the loop around `row` that can be left out, or None; `reached`: what the loop calls."""
    path = list(_around(loop, row))
    essential = _ESSENTIAL_CALLS | _helpers(reached)
    needed = _needed(loop, essential)
    for statement in reversed(path[1:]):
        if _is_essential(statement, essential):
            continue
        if _is_evaluation(statement) or not set(_binds(statement)) & needed:
            return statement
    return None


def without(loop: ast.stmt, rows: frozenset[int]) -> ast.stmt:
    """The loop with `pass` for the statements that start in these rows."""
    found = _Without(rows).visit(loop)
    assert isinstance(found, ast.stmt)
    return found


class _Without(ast.NodeTransformer):
    def __init__(self, rows: frozenset[int]) -> None:
        self.rows = rows

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.stmt) and node.lineno in self.rows:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def _around(node: ast.AST, row: int) -> Iterator[ast.stmt]:
    """The statements around a row, outermost first."""
    if isinstance(node, ast.stmt):
        yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler):
            continue
        if child.lineno <= row <= (child.end_lineno or child.lineno):
            yield from _around(child, row)


def _helpers(reached: Sequence[ast.AST]) -> frozenset[str]:
    """The functions that do the loop's backward or step for it, themselves or through others."""
    functions = [node for node in reached if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found: frozenset[str] = frozenset()
    while True:
        more = found | {f.name for f in functions if _is_essential(f, _IN_HELPERS | found)}
        if more == found:
            return found
        found = more


def _is_essential(statement: ast.AST, essential: frozenset[str]) -> bool:
    calls = (n for n in ast.walk(statement) if isinstance(n, ast.Call))
    return any(last(dotted(call.func)) in essential or _is_chained(call, essential) for call in calls)


def _is_evaluation(statement: ast.stmt) -> bool:
    """`if step % 250 == 0: model.eval() ...`: it may reuse the names of the training step, but only between two."""
    if not isinstance(statement, ast.If) or not any(isinstance(n, ast.Mod) for n in ast.walk(statement.test)):
        return False
    calls = {last(dotted(n.func)) for n in ast.walk(statement) if isinstance(n, ast.Call)}
    return bool(calls & {"eval", "no_grad", "inference_mode"})


def _is_chained(call: ast.Call, essential: frozenset[str]) -> bool:
    """`scaler.scale(loss).backward()`: a method of a call's result has no dotted name."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in essential


def _needed(loop: ast.stmt, essential: frozenset[str]) -> set[str]:
    """The names that essential statements depend on, through all that is assigned in the loop."""
    simple = [n for n in ast.walk(loop) if isinstance(n, ast.stmt) and not hasattr(n, "body")]
    needed = {name for s in simple if _is_essential(s, essential) for name in _loads(s)}
    for node in ast.walk(loop):
        match node:
            case ast.If(test=test) | ast.While(test=test) if _is_essential(node, essential):
                needed |= _loads(test)
            case ast.With(items=items) if _is_essential(node, essential):
                needed |= {name for item in items for name in _loads(item.context_expr)}
            case ast.For(iter=iterable) if _is_essential(node, essential):
                needed |= _loads(iterable)
    while True:
        more = {name for s in simple if needed & set(_binds(s)) for name in _loads(s)} - needed
        if not more:
            return needed
        needed |= more


def _loads(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _binds(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement, or one inside it, binds or changes in place."""
    for node in ast.walk(statement):
        if isinstance(node, ast.stmt):
            yield from bound_names(node)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute | ast.Subscript):
                    yield (dotted(target) or ast.unparse(target.value)).split(".")[0].split("[")[0]
