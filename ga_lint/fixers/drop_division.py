"""The loss is divided twice: take one division away (GA103).

Places: `division`, the expression or the `x /= y` statement to drop. Options: `shows`, in a function that hands the
loss back: what a line that tells it shows from then on, "part" of the window's mean or the "whole" mean.

`loss = loss / n` would become `loss = loss` and goes as a line; `accelerator.backward(loss / n)` keeps `loss`. Where
the divided loss is read again below backward, for a log line, the line goes there, so that what is logged stays.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, divided_name, replace_division
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in
from ga_lint.fixers.readers import PART, WHOLE, note_told
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Statement, Tree


@fixer("drop-division")
def drop_division(target: Target, edits: Edits) -> None:
    tree, division = target.tree, target.division()
    node = division.whole
    if shows := target.option_or("shows", ""):
        _note_readers(edits, division, WHOLE if shows == "whole" else PART)
    else:
        _keep_for_readers(tree, edits, division)
    if isinstance(node, cst.Call) and division.in_place:
        statement = tree.statement_of(node)
        if isinstance(statement.body[0], cst.Expr) and statement.body[0].value is node:  # `loss.div_(n)` on its own
            edits.remove(node)
            return
    replace_division(edits, division, None)


def _note_readers(edits: Edits, division: Division, shows: str) -> None:
    tree, name = edits.tree, divided_name(edits.tree, division)
    if name is not None:
        start = tree.span_of(tree.statement_of(division.whole)).end
        note_told(edits, tree.function_of(division.whole), {name: start}, shows)


def _keep_for_readers(tree: Tree, edits: Edits, division: Division) -> None:
    """Divide below backward what is read there."""
    loop = tree.enclosing(division.whole, cst.For, cst.While)
    if not isinstance(loop, cst.For | cst.While) or tree.enclosing(division.whole, cst.SimpleStatementSuite):
        return
    name, line = divided_name(tree, division), tree.statement_of(division.whole)
    if name is None:
        return
    moved: Statement = line
    text = _again(tree, division, name)
    guard = tree.enclosing(line, cst.If)
    if guard is not None and list(guard.body.body) == [line] and guard.orelse is None:
        moved, text = guard, f"if {tree.code(guard.test)}:\n    {text}"
    below = _below(tree, moved)
    runs = next((each for each in below if "backward(" in tree.code(each) and name in names_in(each)), None)
    if runs is None:
        return
    for each in below[: below.index(runs)]:
        if name in names_in(each):
            row = tree.span_of(each).start.row
            raise FixNotApplicable(f"{name} is read on line {row}, between its division and backward")
    if _is_read(tree, loop, tree.span_of(runs).end.row, name):
        if not text:
            raise FixNotApplicable(f"{name} is read below backward, and only a part of it was divided")
        edits.insert_after(runs, text)


def _again(tree: Tree, division: Division, name: str) -> str:
    """The division as a line of its own; "" where it is only a part of what the name stands for."""
    line = tree.statement_of(division.whole).body[0]
    if tree.code(division.left) == name:
        return f"{tree.code(line).rstrip()}\n"
    if isinstance(line, cst.Assign | cst.AnnAssign) and line.value is division.whole and divided_name(tree, division):
        return f"{name} = {name} / {tree.code(division.right)}\n"
    return ""


def _below(tree: Tree, statement: Statement) -> list[Statement]:
    """The statements below this one in its block."""
    lines = list(tree.block_of(statement).body)
    return [each for each in lines[lines.index(statement) + 1 :] if isinstance(each, Statement)]


def _is_read(tree: Tree, loop: cst.For | cst.While, row: int, name: str) -> bool:
    """Is the name read in the loop below this row, before it stands for something else?"""
    for line in sorted(tree.inside(loop.body, cst.SimpleStatementLine), key=lambda each: tree.span_of(each).start):
        if tree.span_of(line).start.row <= row:
            continue
        match line.body[0]:
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=bound))], value=value) if bound == name:
                return name in names_in(value)
        if name in names_in(line):
            return True
    return False
