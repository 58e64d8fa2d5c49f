"""Is one number made of several in a list, each of which may need a divisor of its own?"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.tree import dotted

_ADDS = frozenset({"sum", "torch.stack", "torch.cat", "functools.reduce", "reduce"})
_REDUCES = frozenset({"torch.sum", "torch.mean"})


def is_added_up(node: cst.BaseExpression) -> bool:
    """`sum(losses)`, `torch.stack([a, b]).mean()`, `(torch.stack([a, b]) * weights).sum()`: one number of several."""
    match node:
        case cst.BinaryOperation(left=left, right=right):
            return is_added_up(left) or is_added_up(right)
        case cst.Call(func=cst.Attribute(value=cst.Call() | cst.BinaryOperation() as inner)):
            return is_added_up(inner)
        case cst.Call(func=func, args=[cst.Arg(value=terms), *_]) if dotted(func) in _ADDS:
            elements = terms.elements if isinstance(terms, cst.List | cst.Tuple) else ()
            return len(elements) != 1 or isinstance(elements[0], cst.StarredElement)
        case cst.Call(func=func, args=[cst.Arg(value=cst.Call() as inner), *_]) if dotted(func) in _REDUCES:
            return is_added_up(inner)
    return False
