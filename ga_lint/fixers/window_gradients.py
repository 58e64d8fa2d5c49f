"""A loop draws micro-batches without end: divide the gradients once the window's targets are known (GA101, GA102).

Places: `loop`, the `while`, or the `for` over a range, which may be the window's own; `backward` and `step`, the calls;
`division`, the `loss / steps`, where somebody divides by hand. Options: `stack`, "plain" or "distributed"; `loss`,
"sum" where the loss is one, and `division` divides it by another number than the window's targets, `divisor`; and how
targets are counted (see `counting`), in names that the loop's body binds.

Each mean times its own count is a sum; before the optimizer steps, the sum over the window becomes a mean. Nothing has
to look ahead, and the count lives as long as the gradients do.
"""

from __future__ import annotations

import re

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of, replace_division
from ga_lint.fixers.counters import drop_count
from ga_lint.fixers.counting import count_text
from ga_lint.fixers.divide_by_steps import loss_of, scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import distributed_module
from ga_lint.fixers.kept_targets import refuse_taken_out
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.reads import behind_window, refuse_early_reads, refuse_read_again
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.summands import Summands
from ga_lint.fixers.tree import Block, Statement, Tree, dotted

_RANKS = re.compile(r"distributed|fsdp|DataParallel|world_size|local_rank", re.IGNORECASE)
_OTHERS = re.compile(r"horovod|hvd\.|byteps|smdistributed|xm\.", re.IGNORECASE)
_COMMENT = "# the sum over the window's targets becomes their mean"


@fixer("window-gradients")
def window_gradients(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = _loop(target)
    _refuse_other_divisions(target)
    backward = tree.find(target.span("backward"), cst.Call)
    line = tree.statement_of(backward)
    scaled = _scaled(target, line)
    _refuse_unbound(tree, loop, scaled, target)
    refuse_taken_out(tree, loop, target.option_or("mask", "") or target.option("labels"))
    step = tree.statement_of(tree.find(target.span("step"), cst.Call))
    inner = loop not in tree.around(step)
    if inner:
        complete = behind_window(tree, loop, backward, step)
    elif tree.enclosing(loop, cst.For, cst.While) is not None:
        raise FixNotApplicable("the loop starts again with gradients that are left from its last round")
    elif tree.block_of(step) is tree.block_of(line):
        raise FixNotApplicable("the optimizer does not step under a condition of the loop")
    else:
        complete = _first_use(tree, step)
    if (other := _OTHERS.search(tree.source.text)) is not None:
        raise FixNotApplicable(f"how {other.group().rstrip('.')} puts gradients of several ranks together is not known")
    refuse_early_reads(tree, loop, complete, _optimizer(tree, target))
    if target.spans("division"):
        refuse_read_again(tree, loop, target.division(), backward)
    total = fresh_name(tree, loop, "window_targets", "targets_in_window")
    count = fresh_name(tree, loop, "targets_here", "micro_batch_targets")
    edits.insert_before(loop, f"{total} = 0\n")
    edits.insert_before(scaled, f"{count} = {_count(target, backward)}\n{total} += {count}\n")
    if target.spans("division"):
        division = target.division()
        if target.option_or("loss", "mean") == "sum":
            drop_count(edits, loop, division, target.option("divisor"))
        else:
            replace_division(edits, division, count)
    else:
        scale_backward(edits, backward, "*", count)
    again = "" if inner else f"{total} = 0\n"
    edits.insert_before(complete, _division(target, edits, _optimizer(tree, target), total, loop) + again)


def _refuse_other_divisions(target: Target) -> None:
    if again := target.option_or("divided_by", ""):
        raise FixNotApplicable(f"the loss is divided by `{again}` besides")
    if max(len(target.spans(role)) for role in ("backward", "division")) > 1:
        raise FixNotApplicable("the loss is divided, or runs backward, in several places of the window")


def _count(target: Target, backward: cst.Call) -> str:
    """The count, where the ranks can add it up: the micro-batch may be on the CPU still, and the loss is not."""
    text = count_text(target)
    if not _has_ranks(target):
        return text
    loss = target.division().left if target.spans("division") else loss_of(backward)
    name = dotted(loss)
    if name is None:
        raise FixNotApplicable("the loss has no name, so on which device it is cannot be asked")
    return f"{text}.to({name}.device)"


def _loop(target: Target) -> cst.While | cst.For:
    loop = target.loop()
    if isinstance(loop, cst.For) and not target.tree.code(loop.iter).startswith("range("):
        raise FixNotApplicable("the loop runs over a loader that starts again")
    return loop


def _scaled(target: Target, line: cst.SimpleStatementLine) -> cst.SimpleStatementLine:
    """The statement that takes the count: the division, in the block of backward, or backward itself."""
    tree = target.tree
    terms = Summands(tree, _loop(target), target.spans("whole"))
    terms.refuse_unseen(target.spans("added"))
    if not target.spans("division"):
        terms.refuse_several(loss_of(tree.find(target.span("backward"), cst.Call)), tree.span_of(line).start)
        return line
    node = tree.find(target.span("division"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    statement = tree.statement_of(node)
    if tree.block_of(statement) is not tree.block_of(line):
        raise FixNotApplicable("the loss is divided in another block than backward")
    terms.refuse_several(division_of(node).left, tree.span_of(statement).start)
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
    tree = target.tree
    reduced, numerator, comment = "", "1", ""
    if _has_ranks(target):
        distributed = distributed_module(edits)
        numerator = fresh_name(tree, loop, "ranks", "rank_count")
        comment = "  # gradients are averaged over ranks"
        reduced = (
            f"{numerator} = {distributed}.get_world_size() if {distributed}.is_initialized() else 1\n"
            f"if {numerator} > 1:\n"
            f"    {distributed}.all_reduce({total})\n"
        )
    scale = fresh_name(tree, loop, "scale", "gradient_scale")
    group = fresh_name(tree, loop, "group", "parameter_group")
    parameter = fresh_name(tree, loop, "parameter", "weight")
    return (
        f"{_COMMENT}\n"
        f"{reduced}"
        f"{scale} = {numerator} / max(float({total}), 1){comment}\n"
        f"for {group} in {optimizer}.param_groups:\n"
        f'    for {parameter} in {group}["params"]:\n'
        f"        if {parameter}.grad is not None:\n"
        f"            {parameter}.grad *= {scale}\n"
    )


def _has_ranks(target: Target) -> bool:
    """Can there be several? Each would divide the same gradients by another number, and their parameters would part."""
    return target.option("stack") == "distributed" or bool(_RANKS.search(target.tree.source.text))
