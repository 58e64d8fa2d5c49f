"""A mean is averaged over a ragged window: weigh each micro-batch by its share of the window's targets (GA101, GA102).

Places: `loop`, the `for` over micro-batches; `division`, the `loss / steps` to turn into `loss * share`, or `backward`
where nobody divides by hand; `step`, the call in the loop that steps the optimizer (not for accelerate).
Options: `steps`; `stack`: "plain" (one process), "distributed" (DDP, FSDP, Fabric: the stack averages over ranks) or
"accelerate" (the loop runs under `accelerator.accumulate`), with `accelerator`, the object's text; and how targets are
counted (see `counting`).

The loader is wrapped in a small class that looks one window ahead; the loop keeps its shape. Under accelerate, the
look-ahead would show the end of the loader to `accumulate()` a whole window too early, so the class sets it itself.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of, replace_division
from ga_lint.fixers.counting import counting_of
from ga_lint.fixers.divide_by_steps import scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.gate import gate_of
from ga_lint.fixers.header import Header, header_of, refuse_unsound_body, wrap_loader
from ga_lint.fixers.helpers import insert_helper
from ga_lint.fixers.imports import distributed_module, import_module
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.terms import refuse_sums
from ga_lint.fixers.tree import fresh_name
from ga_lint.fixers.window_texts import accelerate_text, share_text

_COMMENT = "# this micro-batch's share of the window's targets"


@fixer("window-share")
def window_share(target: Target, edits: Edits) -> None:
    tree = target.tree
    header = header_of(tree, tree.find(target.span("loop"), cst.For))
    stack, steps = target.option("stack"), target.option("steps")
    used = (target.spans("division") or target.spans("backward"))[0]
    refuse_unsound_body(tree, header, used, steps)
    counting = counting_of(target, header, "self.ignore_index")
    share = fresh_name(tree, header.loop, "share", "target_share")
    if stack == "accelerate":
        if "sync_with_dataloader" in tree.source.text:
            raise FixNotApplicable("the accumulation plugin may carry windows over the end of the loader")
        if header.is_bar:
            raise FixNotApplicable(f"{tree.code(header.loader)} is a progress bar around the loader, not the loader")
        windows = target.option("accelerator")
        text = accelerate_text(header.target_text(tree), counting)
    else:
        flushes = _flushes(target, header, steps)
        body = tree.code(header.loop.body)
        if not flushes and any(f"len({name})" in body for name in header.loader_names):
            raise FixNotApplicable("the loop waits for its last batch but takes no step on it")
        windows = steps
        distributed = distributed_module(edits) if stack == "distributed" else None
        itertools = import_module(edits, "itertools")
        text = share_text(itertools, header.target_text(tree), counting, flushes, distributed)
    name = insert_helper(edits, header.loop, "WithTargetShare", text)
    extra = f", ignore_index={counting.given}" if counting.given else ""
    wrap_loader(edits, header, f"{name}({tree.code(header.loader)}, {windows}{extra})", share)
    _weigh(target, edits, header, share, distributed=stack != "plain")


def _flushes(target: Target, header: Header, steps: str) -> bool:
    """Does a step follow the last, shorter window, in the loop or right behind it?"""
    tree = target.tree
    step = tree.find(target.span("step"), cst.Call)
    if gate_of(tree, header, step, steps).flushes:
        return True
    block = tree.block_of(header.loop)
    following = block.body[list(block.body).index(header.loop) + 1 :]
    return any(f"{tree.code(step.func)}(" in tree.code(line) for line in following)


def _weigh(target: Target, edits: Edits, header: Header, share: str, distributed: bool) -> None:
    tree = target.tree
    places = target.spans("division")
    if not places:
        scale_backward(edits, tree.find(target.span("backward"), cst.Call), "*", share)
        return
    node = tree.find(target.span("division"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    around = list(tree.around(node))
    if header.loop not in around:
        raise FixNotApplicable("the loss is divided outside the loop, where the share is not known")
    for outer in around[: around.index(header.loop)]:
        if distributed and isinstance(outer, cst.If) and target.option("steps") in tree.code(outer.test):
            raise FixNotApplicable("the loss is divided only when steps > 1, but ranks have shares even then")
    division = division_of(node)
    refuse_sums(tree, header.loop.body, division.left)
    replace_division(edits, division, share)
    _explain(edits, tree.statement_of(node), share)


def _explain(edits: Edits, line: cst.SimpleStatementLine, share: str) -> None:
    row = edits.tree.span_of(line).end.row
    room = len(edits.tree.source.lines[row - 1]) + len(_COMMENT) + 4 <= 120
    if line.trailing_whitespace.comment is None and room:
        comment = cst.TrailingWhitespace(whitespace=cst.SimpleWhitespace("  "), comment=cst.Comment(_COMMENT))
        edits.change(line, lambda node: node.with_changes(trailing_whitespace=comment))
