"""The count of targets is to run over all ranks again: `average_tokens_across_devices` (GA218).

Places: `argument`, the keyword argument that turns it off, or `statement`, the assignment. Option: `form`, "drop" where
it is on by default, else "set".
"""

from __future__ import annotations

import functools

import libcst as cst

from ga_lint.fixers.commas import without_argument
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("average-tokens")
def average_tokens(target: Target, edits: Edits) -> None:
    tree = target.tree
    drops = target.option("form") == "drop"
    for span in target.spans("statement"):
        assign = tree.find(span, cst.Assign)
        if drops:
            edits.remove(assign)
        else:
            edits.replace(assign.value, "True")
    for span in target.spans("argument"):
        argument = tree.find(span, cst.Arg)
        call = tree.parent(argument)
        assert isinstance(call, cst.Call)
        if drops:
            drop = functools.partial(_without, index=list(call.args).index(argument))
            edits.change(call, drop)
        else:
            edits.replace(argument.value, "True")


def _without(call: cst.Call, index: int) -> cst.Call:
    return call.with_changes(args=without_argument(call.args, index))
