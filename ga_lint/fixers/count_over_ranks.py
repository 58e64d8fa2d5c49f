"""The loss is divided by the count of one rank's window: divide by the mean of the ranks' counts instead (GA104).

Places: `loop`, the loop over the window; `division`, the division by the count. Gradients are averaged over ranks, so a
sum over the mean count is the sum over all ranks over the whole count. Option: `multiplied`, "yes" where the loss is
multiplied by the number of ranks already: then by the sum of the counts. The user's own count keeps its value.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import distributed_module
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Tree, dotted


@fixer("count-over-ranks")
def count_over_ranks(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = target.loop()
    node = tree.find(target.span("division"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    if loop not in tree.around(node):
        raise FixNotApplicable("the loss is divided outside the loop over the window")
    divisor = division_of(node).right
    count = dotted(divisor)
    if count is None:
        raise FixNotApplicable(f"{tree.code(divisor)} has no name, so where it is counted is not known")
    _refuse_counted_elsewhere(tree, loop, count)
    distributed = distributed_module(edits)
    counts = fresh_name(tree, loop, "counts", "rank_counts")
    summed = target.option_or("multiplied", "no") == "yes"
    whole = fresh_name(tree, loop, *(("total_count", "all_counts") if summed else ("mean_count", "count_per_rank")))
    length = "" if summed else f" / len({counts})  # gradients are averaged over ranks"
    text = (
        f"{counts} = [float({count})]\n"
        f"if {distributed}.is_initialized():\n"
        f"    {counts} *= {distributed}.get_world_size()\n"
        f"    {distributed}.all_gather_object({counts}, {counts}[0])\n"
        f"{whole} = sum({counts}){length}\n"
    )
    edits.insert_before(loop, text)
    edits.replace(divisor, whole)


def _refuse_counted_elsewhere(tree: Tree, loop: cst.For | cst.While, count: str) -> None:
    """Is it counted anew for each window, right before the loop, and not in it?"""
    block = tree.block_of(loop)
    above = [line for line in block.body if tree.span_of(line).start < tree.span_of(loop).start]
    if not any(_assigns(line, count) for line in above):
        raise FixNotApplicable(f"{count} is not counted anew before the loop over the window")
    changed = [each.target for each in bindings_in(tree, loop)]
    if any(count in names_in(each) or dotted(each) == count for each in changed):
        raise FixNotApplicable(f"{count} changes in the loop over the window")


def _assigns(line: cst.CSTNode, count: str) -> bool:
    match line:
        case cst.SimpleStatementLine(body=[cst.Assign(targets=targets)]):
            return any(dotted(each.target) == count for each in targets)
        case _:
            return False
