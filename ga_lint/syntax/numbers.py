"""Which number does a command-line option or a configuration field default to?"""

from __future__ import annotations

import ast
from collections.abc import Iterable


def numeric_defaults(calls: Iterable[ast.Call], classes: Iterable[ast.ClassDef]) -> dict[str, float]:
    """Numeric defaults by name: `add_argument("--x", default=8)`, `x: int = 8` in a class body."""
    found: dict[str, float] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            value = next((_number(keyword.value) for keyword in call.keywords if keyword.arg == "default"), None)
            for argument in call.args:
                if value is not None and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found[argument.value.lstrip("-").replace("-", "_")] = value
    for cls in classes:
        for statement in cls.body:
            match statement:
                case (
                    ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as right)
                    | ast.Assign(targets=[ast.Name(id=name)], value=right)
                ):
                    value = _number(right)
                    if value is not None:
                        found[name] = value
    return found


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    return None
