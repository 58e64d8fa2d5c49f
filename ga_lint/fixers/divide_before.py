"""The loss is divided when backward has run already: divide before (GA110).

Places: `backward`, the call; `division`, the late `loss = loss / steps` or `loss /= steps`. Options: `steps`, its text.

Two lines in a row change places, and what follows reads what it did. Where something reads the whole loss in between,
what backward receives is divided, and the late division stays for what it is read by.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.divide_by_steps import scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("divide-before")
def divide_before(target: Target, edits: Edits) -> None:
    tree = target.tree
    call = tree.find(target.span("backward"), cst.Call)
    first = tree.statement_of(call)
    late = tree.statement_of(tree.find(target.span("division"), cst.Assign, cst.AugAssign, cst.BinaryOperation))
    lines = list(tree.block_of(first).body)
    at = lines.index(first)
    if lines[at + 1 : at + 2] != [late]:
        scale_backward(edits, call, "/", target.option("steps"))
        return
    edits.change(first, lambda _: late.with_changes(leading_lines=_above(first, late)))
    edits.change(late, lambda _: first.with_changes(leading_lines=_above(late, first)))


def _above(place: cst.SimpleStatementLine, line: cst.SimpleStatementLine) -> list[cst.EmptyLine]:
    """The blank lines of the place, and the comments of the line."""
    blank = [each for each in place.leading_lines if each.comment is None]
    return [*blank, *(each for each in line.leading_lines if each.comment is not None)]
