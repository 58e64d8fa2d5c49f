"""From where must the code be followed so that every backward is reached with the most context?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ga_lint.syntax.parsed import FunctionNode

# Gradients are cleared where a loop is, also when an imported helper runs backward.
_SINKS = frozenset({"backward", "manual_backward", "zero_grad"})


@dataclass(frozen=True, slots=True)
class Roots:
    """`module`: the module's own statements lead to a backward. `functions`: callers before those they call."""

    module: bool
    functions: tuple[FunctionNode, ...]


def loop_roots(tree: ast.Module) -> Roots:
    """Functions that lead to a backward, outermost callers first."""
    called: dict[FunctionNode, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            called[node] = set(_called_names(node.body))
    leading = {node for node, names in called.items() if names & _SINKS}
    while True:
        names = {node.name for node in leading}
        more = {node for node, calls in called.items() if calls & names} - leading
        if not more:
            break
        leading |= more
    leading_names = {node.name for node in leading}
    module_calls = set(_called_names([s for s in tree.body if not isinstance(s, FunctionNode | ast.ClassDef)]))
    inner_calls = set().union(*(called[node] - {node.name} for node in leading)) if leading else set()
    outermost = [node for node in leading if node.name not in inner_calls]
    rest = [node for node in leading if node not in outermost]
    ordered = sorted(outermost, key=_row) + sorted(rest, key=_row)
    return Roots(bool(module_calls & (_SINKS | leading_names)), tuple(ordered))


def _row(node: FunctionNode) -> int:
    return node.lineno


def _called_names(body: list[ast.stmt]) -> Iterator[str]:
    """The last names of what is called here, functions defined inside left out."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, FunctionNode | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr
        todo.extend(ast.iter_child_nodes(node))
