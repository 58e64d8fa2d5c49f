"""Who reads gradients, or a loss, that another rewrite would make something else of for a while?"""

from __future__ import annotations

import re

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, divided_name
from ga_lint.fixers.names import names_in
from ga_lint.fixers.tree import Block, Statement, Tree

_READS = re.compile(r"clip_grad|\.grad\b|grad_norm")
_CLEARS = re.compile(r"zero_grad\(|\.grad = None")
_OPTIMIZER = re.compile(r"opt", re.IGNORECASE)


def behind_window(tree: Tree, loop: cst.For | cst.While, backward: cst.Call, step: Statement) -> Statement:
    """The line behind a loop over one window, whose gradients are then complete: nothing else may be in them."""
    block: Block = tree.block_of(loop)
    lines = list(block.body)
    behind = lines[lines.index(loop) + 1 :]
    if not any(line is step or line in tree.around(step) for line in behind):
        raise FixNotApplicable("the optimizer does not step behind the loop over the window")
    if not any(_CLEARS.search(tree.code(line)) for line in (*lines[: lines.index(loop)], *behind)):
        raise FixNotApplicable("where the gradients of the last window are cleared is not in sight")
    for call in tree.inside(tree.scope_of(loop), cst.Call):
        runs = isinstance(call.func, cst.Attribute) and call.func.attr.value == "backward"
        if runs and call is not backward and block in tree.around(call):
            row = tree.span_of(call).start.row
            raise FixNotApplicable(f"gradients of another backward, on line {row}, would be divided too")
    assert isinstance(behind[0], Statement)
    return behind[0]


def refuse_early_reads(tree: Tree, loop: cst.For | cst.While, complete: Statement, optimizer: str) -> None:
    """Until they are divided, gradients are sums over the window's targets: nothing in the loop may read them."""
    for line in tree.inside(loop.body, cst.SimpleStatementLine):
        block = tree.block_of(line)
        late = tree.block_of(complete) in (block, *tree.around(line))
        late = late and tree.span_of(line).start >= tree.span_of(complete).start
        if not late and (found := _READS.search(tree.code(line))):
            row = tree.span_of(line).start.row
            raise FixNotApplicable(
                f"gradients are read on line {row} (`{found.group()}`), before they could be divided"
            )
    for call in tree.inside(tree.scope_of(loop), cst.Call):
        match call.func:
            case cst.Attribute(value=owner, attr=cst.Name(value="step")):
                owner = call.args[0].value if call.args else owner
                text = tree.code(owner)
                if _OPTIMIZER.search(text) and text != optimizer:
                    raise FixNotApplicable(f"{text} steps too, and its gradients would stay undivided")


def refuse_read_again(tree: Tree, loop: cst.For | cst.While, division: Division, backward: cst.Call) -> None:
    """What was divided, and is a sum now, must go into backward alone: a log line would show another number."""
    name = divided_name(tree, division)
    if name is None:
        return
    start = tree.span_of(tree.statement_of(division.whole)).end
    end = tree.span_of(tree.statement_of(backward))
    for line in tree.inside(loop.body, cst.SimpleStatementLine):
        place = tree.span_of(line)
        if start <= place.start and place != end and name in names_in(line):
            raise FixNotApplicable(f"{name} is read on line {place.start.row}, where it would be another number")
