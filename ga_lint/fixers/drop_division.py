"""The loss is divided twice: take one division away (GA103).

Places: `division`, the expression or the `x /= y` statement to drop. Options: none.

`loss = loss / n` would become `loss = loss` and goes as a line; `accelerator.backward(loss / n)` keeps `loss`.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.arithmetic import replace_division
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("drop-division")
def drop_division(target: Target, edits: Edits) -> None:
    division = target.division()
    node = division.whole
    if isinstance(node, cst.Call) and division.in_place:
        statement = target.tree.statement_of(node)
        if isinstance(statement.body[0], cst.Expr) and statement.body[0].value is node:  # `loss.div_(n)` on its own
            edits.remove(node)
            return
    replace_division(edits, division, None)
