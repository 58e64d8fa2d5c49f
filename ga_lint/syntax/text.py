"""How is this expression written? Unparsed once and kept on the node, since the same texts are asked for often."""

from __future__ import annotations

import ast


def text_of(node: ast.AST) -> str:
    """The node in Python's own spelling, on one line."""
    text: str | None = getattr(node, "_ga_lint_text", None)
    if text is None:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            text = f"{text_of(node.value)}.{node.attr}"
        else:
            text = ast.unparse(node)
        node._ga_lint_text = text  # type: ignore[attr-defined]
    return text


def last_name(node: ast.expr) -> str:
    """`Trainer` of `transformers.Trainer`; nothing for what is no name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
