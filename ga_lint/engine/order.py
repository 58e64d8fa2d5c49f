"""Does a module bind its names above the lines that use them? By rows, as a script and a notebook run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from msgspec import Struct

from ga_lint.syntax.walk import children, walk

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Order(Struct, frozen=True):
    """The first row in which the module binds each of its names, and in which anything uses it.

    `early` are the names that a line which runs at once, outside of every function, uses above that.
    """

    bound: dict[str, int]
    used: dict[str, int]
    early: frozenset[str]

    @staticmethod
    def of(tree: ast.Module) -> Order:
        bound: dict[str, int] = {}
        run: dict[str, int] = {}
        for node in _at_once(tree):
            for name in _bound_by(node):
                _keep_first(bound, name, node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                _keep_first(run, node.id, node)
        used: dict[str, int] = {}
        for node in walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                _keep_first(used, node.id, node)
        return Order(bound, used, frozenset(name for name, row in run.items() if row < bound.get(name, 0)))


def _keep_first(rows: dict[str, int], name: str, node: ast.AST) -> None:
    row: int = node.lineno  # type: ignore[attr-defined]
    rows[name] = min(row, rows.get(name, row))


def _at_once(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node but those in the bodies of functions, which run when they are called."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, _Function):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        elif not isinstance(node, ast.Lambda):
            todo += children(node)


def _bound_by(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).partition(".")[0] for alias in names]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)):
            return [name]
        case _:
            return []
