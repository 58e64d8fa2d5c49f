"""The loss is a sum over a count that may be None: without one, divide by this micro-batch's own targets (GA212).

Places: `division`. Options: `count`, the name of the count; `targets`, the text of what the loss was compared with;
`ignore_index`; `form`: "branch" where the count owes a factor of the ranks that the micro-batch's own targets do not.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("guard-count")
def guard_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    division = target.division()
    count, text = target.option("count"), target.option("targets")
    atom = isinstance(tree.parse_expression(text), cst.Name | cst.Attribute | cst.Call | cst.Subscript)
    own = f"({text if atom else f'({text})'} != {target.option('ignore_index')}).sum()"
    test = f"if {count} is None:  # the mean over this micro-batch\n"
    line = tree.statement_of(division.whole)
    if target.option_or("form", "count") == "count":
        edits.insert_before(line, f"{test}    {count} = {own}\n")
        return
    assign = line.body[0]
    plain = isinstance(assign, cst.Assign) and assign.value is division.whole and len(assign.targets) == 1
    if len(line.body) > 1 or not isinstance(division.left, cst.Name) or not (plain or assign is division.whole):
        raise FixNotApplicable("the sum has no name of its own that is divided in one statement")
    divided = tree.code(assign)
    name = tree.code(assign.targets[0].target) if isinstance(assign, cst.Assign) else division.left.value
    edits.insert_before(line, f"{test}    {name} = {division.left.value} / {own}\nelse:\n    {divided}\n")
    edits.remove(line)
