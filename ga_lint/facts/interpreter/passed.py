"""Which arguments does a call pass, and how is each of them written?"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ga_lint.facts.values import Items, Table, Unknown, Value, alternatives, choice

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame, State


def positional_of(
    run: Interpreter, frame: Frame, state: State, node: ast.Call
) -> tuple[tuple[Value, ...], tuple[ast.expr, ...]]:
    """The values, and each as written: `pair[0]` for the first of `*pair`, `*rest` for what cannot be."""
    values: list[Value] = []
    written: list[ast.expr] = []
    for argument in node.args:
        value = run.evaluate(frame, state, argument)
        if isinstance(argument, ast.Starred) and isinstance(value, Items):
            values += value.values
            written += _parts(argument, len(value.values))
        else:
            values.append(value)
            written.append(argument)
    return tuple(values), tuple(written)


def _parts(argument: ast.Starred, count: int) -> Sequence[ast.expr]:
    node = argument.value
    if isinstance(node, ast.Tuple | ast.List) and not any(isinstance(one, ast.Starred) for one in node.elts):
        return node.elts
    if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        return [argument] * count  # who writes a part of it calls something once more
    indices = (ast.copy_location(ast.Constant(index), node) for index in range(count))
    return [ast.copy_location(ast.Subscript(node, index, ast.Load()), node) for index in indices]


def named_of(run: Interpreter, frame: Frame, state: State, node: ast.Call) -> tuple[tuple[str, Value], ...]:
    """The values by name, "**" for what is unpacked and not known."""
    named: list[tuple[str, Value]] = []
    for keyword in node.keywords:
        value = run.evaluate(frame, state, keyword.value)
        if keyword.arg is None:
            value = _merged(value)
        if keyword.arg is None and isinstance(value, Table):
            named.extend(value.entries)
            if value.handed or not isinstance(value.rest, Unknown):
                named.append(("**", value.rest))
        else:
            named.append((keyword.arg or "**", value))
    return tuple(named)


def _merged(value: Value) -> Value:
    """Several dictionaries that it may be, as one that says for each key what it may hold."""
    tables = [one for one in alternatives(value) if isinstance(one, Table)]
    if not tables or len(tables) < len(list(alternatives(value))):
        return value
    keys = {key: None for table in tables for key, _ in table.entries}
    return Table(tuple((key, choice([table.get(key) for table in tables])) for key in keys), tables[0].rest)
