"""A sum is divided by another count: is that the whole divisor, and what becomes of a counter that nothing reads?"""

from __future__ import annotations

import ast

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, replace_division
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import occurrences
from ga_lint.fixers.tree import dotted


def replace_count(edits: Edits, loop: cst.CSTNode, division: Division, count: str, name: str) -> None:
    """Divide by `name` in place of `count`, which is all that the division divides by."""
    _refuse_more(edits, division, count)
    edits.replace(division.right, name)
    _drop_counter(edits, loop, division.right)


def drop_count(edits: Edits, loop: cst.CSTNode, division: Division, count: str) -> None:
    """Do not divide by `count`, which is all that the division divides by."""
    _refuse_more(edits, division, count)
    replace_division(edits, division, None)
    _drop_counter(edits, loop, division.right)


def _refuse_more(edits: Edits, division: Division, count: str) -> None:
    if ast.unparse(ast.parse(edits.tree.code(division.right).strip(), mode="eval")) != count:
        raise FixNotApplicable(f"the division is by more than `{count}`")


def _drop_counter(edits: Edits, loop: cst.CSTNode, divisor: cst.BaseExpression) -> None:
    """Remove `tokens = 0` and `tokens += ...` where the divisor that goes was all that read it."""
    tree = edits.tree
    function = tree.scope_of(loop)
    name = dotted(divisor)
    if name is None or not isinstance(divisor, cst.Name):
        return
    starts = [
        node
        for node in tree.inside(function, cst.Assign)
        if [dotted(each.target) for each in node.targets] == [name] and isinstance(node.value, cst.Integer)
    ]
    ups = [node for node in tree.inside(function, cst.AugAssign) if dotted(node.target) == name]
    counting = [*starts, *ups]
    shared = any(occurrences(node.value, name) for node in ups)
    alone = all(
        isinstance(line := tree.parent(node), cst.SimpleStatementLine) and len(line.body) == 1 for node in counting
    )
    if not shared and alone and occurrences(function, name) == len(counting) + 1:
        for node in counting:
            edits.remove(node)
