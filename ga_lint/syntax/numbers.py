"""Which number does a command-line option or a configuration field default to?"""

from __future__ import annotations

import ast
from collections.abc import Iterable


def numeric_defaults(calls: Iterable[ast.Call], classes: Iterable[ast.ClassDef]) -> dict[str, ast.expr]:
    """Numeric defaults by name, as written: `add_argument("--x", default=8)`, `x: int = 8` in a class body."""
    found: dict[str, ast.expr] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            values = [one.value for one in call.keywords if one.arg == "default" and number_of(one.value) is not None]
            for argument in call.args if values else ():
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found[argument.value.lstrip("-").replace("-", "_")] = values[0]
    for cls in classes:
        for statement in cls.body:
            match statement:
                case (
                    ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as right)
                    | ast.Assign(targets=[ast.Name(id=name)], value=right)
                ):
                    if number_of(right) is not None:
                        found[name] = right
    return found


def number_of(node: ast.expr) -> float | None:
    """The number that is written here."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    return None
