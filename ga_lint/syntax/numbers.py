"""Which number does a command-line option or a configuration field default to?"""

from __future__ import annotations

import ast

def numeric_defaults(tree: ast.Module) -> dict[str, float]:
    """Numeric defaults by name: `add_argument("--x", default=8)`, `x: int = 8` in a class body."""
    found: dict[str, float] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=arguments, keywords=keywords):
                value = next((_number(keyword.value) for keyword in keywords if keyword.arg == "default"), None)
                for argument in arguments:
                    if value is not None and isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        found[argument.value.lstrip("-").replace("-", "_")] = value
            case ast.ClassDef(body=body):
                for statement in body:
                    match statement:
                        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as right) | ast.Assign(
                            targets=[ast.Name(id=name)], value=right
                        ):
                            value = _number(right)
                            if value is not None:
                                found[name] = value
    return found


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    return None
