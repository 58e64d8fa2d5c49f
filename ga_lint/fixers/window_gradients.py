"""A loop draws micro-batches without end: divide the gradients once the window's targets are known (GA101, GA102).

Places: `loop`, the `while`, or the `for` over a range; `backward` and `step`, the calls; `division`, the
`loss / steps`, where somebody divides by hand. Options: `stack`, "plain" or "distributed"; `loss`, "sum" where the loss
is one, and `division` divides it by another number than the window's targets, `divisor`; and how targets are counted
(see `counting`), in names that the loop's body binds.

Each mean times its own count is a sum; before the optimizer steps, the sum over the window becomes a mean. Nothing has
to look ahead, and the count lives as long as the gradients do.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of, replace_division
from ga_lint.fixers.counters import drop_count
from ga_lint.fixers.counting import count_text
from ga_lint.fixers.divide_by_steps import scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import distributed_module
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.terms import refuse_sums
from ga_lint.fixers.tree import Block, Statement, Tree

_COMMENT = "# the sum over the window's targets becomes their mean"


@fixer("window-gradients")
def window_gradients(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = _loop(target)
    backward = tree.find(target.span("backward"), cst.Call)
    if tree.enclosing(loop, cst.For, cst.While) is not None:
        raise FixNotApplicable("the loop starts again with gradients that are left from its last round")
    line = tree.statement_of(backward)
    scaled = _scaled(target, line)
    _refuse_unbound(tree, loop, scaled, target)
    step = tree.statement_of(tree.find(target.span("step"), cst.Call))
    if loop not in tree.around(step) or tree.block_of(step) is tree.block_of(line):
        raise FixNotApplicable("the optimizer does not step under a condition of the loop")
    total = fresh_name(tree, loop, "window_targets", "targets_in_window")
    count = fresh_name(tree, loop, "targets_here", "micro_batch_targets")
    edits.insert_before(loop, f"{total} = 0\n")
    edits.insert_before(scaled, f"{count} = {count_text(target)}\n{total} += {count}\n")
    if target.spans("division"):
        division = target.division()
        if target.option_or("loss", "mean") == "sum":
            drop_count(edits, loop, division, target.option("divisor"))
        else:
            replace_division(edits, division, count)
    else:
        scale_backward(edits, backward, "*", count)
    edits.insert_before(_first_use(tree, step), _division(target, edits, _optimizer(tree, target), total, loop))


def _loop(target: Target) -> cst.While | cst.For:
    loop = target.loop()
    if isinstance(loop, cst.For) and not target.tree.code(loop.iter).startswith("range("):
        raise FixNotApplicable("the loop runs over a loader that starts again")
    return loop


def _scaled(target: Target, line: cst.SimpleStatementLine) -> cst.SimpleStatementLine:
    """The statement that takes the count: the division, in the block of backward, or backward itself."""
    tree = target.tree
    if not target.spans("division"):
        return line
    node = tree.find(target.span("division"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    statement = tree.statement_of(node)
    if tree.block_of(statement) is not tree.block_of(line):
        raise FixNotApplicable("the loss is divided in another block than backward")
    refuse_sums(tree, tree.block_of(line), division_of(node).left)
    return statement


def _refuse_unbound(tree: Tree, loop: cst.While | cst.For, line: Statement, target: Target) -> None:
    """Do the loop's own lines above bind what the targets are read from?"""
    bound: set[str] = set()
    for assign in tree.inside(loop.body, cst.Assign):
        if tree.span_of(assign).start < tree.span_of(line).start:
            bound |= {name for each in assign.targets for name in names_in(each.target)}
    labels = target.option_or("mask", "") or target.option("labels")
    if missing := names_in(tree.parse_expression(labels)) - bound:
        raise FixNotApplicable(f"{min(missing)} is not drawn in the loop")


def _first_use(tree: Tree, step: cst.SimpleStatementLine) -> Statement:
    """The line that first reads the gradients: clipping, or the step itself."""
    block: Block = tree.block_of(step)
    for line in block.body:
        if line is step or "clip_grad" in tree.code(line):
            assert isinstance(line, Statement)
            return line
    raise AssertionError("the step is in its own block")


def _optimizer(tree: Tree, target: Target) -> str:
    step = tree.find(target.span("step"), cst.Call)
    if step.args:  # scaler.step(optimizer)
        return tree.code(step.args[0].value)
    assert isinstance(step.func, cst.Attribute)
    return tree.code(step.func.value)


def _division(target: Target, edits: Edits, optimizer: str, total: str, loop: cst.CSTNode) -> str:
    reduced = ""
    if target.option("stack") == "distributed":
        distributed = distributed_module(edits)
        reduced = (
            f"if {distributed}.is_initialized():\n"
            f"    {distributed}.all_reduce({total})\n"
            f"    {total} /= {distributed}.get_world_size()  # gradients are averaged over ranks\n"
        )
    group = fresh_name(target.tree, loop, "group", "parameter_group")
    parameter = fresh_name(target.tree, loop, "parameter", "weight")
    return (
        f"{_COMMENT}\n"
        f"{reduced}"
        f"for {group} in {optimizer}.param_groups:\n"
        f'    for {parameter} in {group}["params"]:\n'
        f"        if {parameter}.grad is not None:\n"
        f"            {parameter}.grad /= {total}.clamp(min=1)\n"
        f"{total} = 0\n"
    )
