"""May an expression be written a second time, and how is a count written shortest?"""

from __future__ import annotations

import ast

# What may be written a second time: nothing in there takes anything out of anything.
_REPEATABLE = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.Compare,
    ast.expr_context, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
SAME_ELEMENTS = frozenset("view reshape flatten contiguous to cuda cpu long int float clone detach".split())
_SAME_COUNT = frozenset("contiguous view reshape flatten clone detach float".split())
_COUNTING = SAME_ELEMENTS | frozenset("ne eq sum numel size count_nonzero".split())


def is_repeatable(expression: ast.expr) -> bool:
    """Does it mean the same when it is written a second time?"""
    for node in ast.walk(expression):
        if isinstance(node, ast.Call):
            if not (isinstance(node.func, ast.Attribute) and node.func.attr in _COUNTING):
                return False
        elif not isinstance(node, _REPEATABLE):
            return False
    return True


def shortest(text: str) -> str | None:
    """A count as it is written shortest; None where it may not be written a second time."""
    tree = ast.parse(text, mode="eval").body
    return ast.unparse(_Bare().visit(tree)) if is_repeatable(tree) else None


class _Bare(ast.NodeTransformer):
    """`labels` for `labels.contiguous().view(-1)`: a count is the same in any shape."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(value=value, attr=name) if name in _SAME_COUNT:
                return value
            case _:
                return node
