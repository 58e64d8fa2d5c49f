"""An engine steps by a gate of the loop's own: tell it, before each backward, where the window ends (GA109).

Places: `backward`, the engine's call; `gate`, the test under which it steps. Options: `engine`, the engine's text.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Tree, dotted


@fixer("set-boundary")
def set_boundary(target: Target, edits: Edits) -> None:
    tree = target.tree
    backward = tree.statement_of(tree.find(target.span("backward"), cst.Call))
    test = tree.find(target.span("gate"), cst.Comparison, cst.BooleanOperation, cst.UnaryOperation, cst.Name)
    branch = tree.parent(test)
    if not isinstance(branch, cst.If) or tree.block_of(branch) is not tree.block_of(backward):
        raise FixNotApplicable("the engine does not step under a test beside backward")
    _refuse_changing(tree, backward, branch, test)
    told, text = f"{target.option('engine')}.set_gradient_accumulation_boundary", _text(tree, test)
    if tree.span_of(backward).start.column + len(f"{told}({text})") > MAX_WIDTH:
        text = f"\n    {text}\n"
    edits.insert_before(backward, f"{told}({text})\n")


def _text(tree: Tree, test: cst.BaseExpression) -> str:
    return tree.code(test.with_changes(lpar=[], rpar=[]))


def _refuse_changing(tree: Tree, backward: cst.CSTNode, branch: cst.If, test: cst.BaseExpression) -> None:
    """Does the test say above backward what it says below?"""
    calls = [call for call in tree.inside(test, cst.Call) if dotted(call.func) != "len"]
    if calls:
        raise FixNotApplicable(f"{tree.code(calls[0])} would be asked a second time")
    start, end = tree.span_of(backward).start, tree.span_of(branch).start
    block = tree.block_of(branch)
    for place in (each.target for each in bindings_in(tree, block)):
        if start <= tree.span_of(place).start < end and names_in(place) & names_in(test):
            raise FixNotApplicable(f"the test for the step changes on line {tree.span_of(place).start.row}")
