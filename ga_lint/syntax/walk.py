"""Which nodes are below this one?

As `ast.walk` and `ast.iter_child_nodes` say, in their order, but without the nodes of contexts and operators, which
nobody looks for, and in a third of their time: most fields of a node hold no node, which a table by its type tells.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

# Fields that hold a name, a flag, a context or an operator.
_LEAVES = frozenset(
    "ctx op ops id attr arg asname level module type_comment kind simple conversion is_async tag rest kwd_attrs".split()
)
_NO_NODES = (ast.Constant, ast.Global, ast.Nonlocal, ast.MatchSingleton)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SIMPLE = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Import, ast.ImportFrom)
_CLOSED = (*_SIMPLE, *_DEFINITIONS)  # no statements of the same scope in them
_WITH_GAPS = frozenset(("keys", "kw_defaults"))  # lists that may hold None
_fields: dict[type[ast.AST], tuple[str, ...]] = {}


def fields_of(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of this type of node that may hold nodes."""
    known = _fields.get(kind)
    if known is None:
        names = () if issubclass(kind, _NO_NODES) else kind._fields
        known = tuple(one for one in names if one not in _LEAVES and (one != "name" or kind.__name__ == "TypeAlias"))
        _fields[kind] = known
    return known


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below."""
    found: list[ast.AST] = []
    for field in fields_of(type(node)):
        value = getattr(node, field, None)
        if type(value) is list:
            found += value if field not in _WITH_GAPS else [one for one in value if one is not None]
        elif value is not None:
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """The node and all below it, level by level."""
    found = [node]
    known = _fields.get
    for one in found:  # it grows meanwhile
        fields = known(type(one))
        for field in fields_of(type(one)) if fields is None else fields:
            value = getattr(one, field, None)
            if type(value) is list:
                found += value if field not in _WITH_GAPS else [inner for inner in value if inner is not None]
            elif value is not None:
                found.append(value)
    return found


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of one scope in their order, through `if`, `try`, `match` and loops, not into definitions."""
    for statement in body:
        yield statement
        if isinstance(statement, _CLOSED):
            continue
        for inner in ("body", "orelse", "finalbody"):
            yield from statements(getattr(statement, inner, ()))
        for inner in ("handlers", "cases"):
            for part in getattr(statement, inner, ()):
                yield from statements(part.body)


def in_order(node: ast.AST, enter: Callable[[ast.AST], bool] | None = None) -> Iterator[ast.AST]:
    """The node and all below it, each before what is below it and that before what follows.

    `enter`: which definitions to go into.
    """
    todo = [node]
    while todo:
        one = todo.pop()
        yield one
        if enter is not None and isinstance(one, _DEFINITIONS) and not enter(one):
            continue
        for field in reversed(fields_of(type(one))):
            value = getattr(one, field, None)
            if type(value) is list:
                todo += reversed(value if field not in _WITH_GAPS else [inner for inner in value if inner is not None])
            elif value is not None:
                todo.append(value)
