"""The loss is a sum over a count that may be None: without one, divide by this micro-batch's own targets (GA212).

Places: `division`. Options: `count`, the name of the count; `targets`, the text of what the loss was compared with;
`ignore_index`.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("guard-count")
def guard_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    division = tree.find(target.span("division"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    count, targets, ignored = target.option("count"), target.option("targets"), target.option("ignore_index")
    counted = tree.parse_expression(targets)
    atom = isinstance(counted, cst.Name | cst.Attribute | cst.Call | cst.Subscript)
    edits.insert_before(
        tree.statement_of(division),
        f"if {count} is None:  # the mean over this micro-batch\n"
        f"    {count} = ({targets if atom else f'({targets})'} != {ignored}).sum()\n",
    )
