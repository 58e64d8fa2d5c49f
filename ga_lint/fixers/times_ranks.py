"""The loss is divided by a count over all ranks: multiply it by what the stack divides by besides (GA105).

Places: `loop`, the loop that holds backward; `backward`, the call. Options: `ranks`, the text of how many ranks there
are, "torch.distributed" where nothing in the code knows it, "" where that factor is there; `steps`, the text of the
accumulation steps that the stack divides by, "" likewise.

What is logged keeps its value: only what backward receives is multiplied.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.divide_by_steps import loss_of, scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import distributed_module
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.summands import Summands


@fixer("times-ranks")
def times_ranks(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = target.loop()
    backward = tree.find(target.span("backward"), cst.Call)
    terms = Summands(tree, loop)
    terms.refuse_several(loss_of(backward), tree.span_of(tree.statement_of(backward)).start)
    terms.refuse_unseen(target.spans("added"))
    ranks = target.option("ranks")
    if ranks == "torch.distributed":
        ranks = f"{distributed_module(edits)}.get_world_size()"
    scale_backward(edits, backward, "*", " * ".join(filter(None, (target.option("steps"), ranks))))
