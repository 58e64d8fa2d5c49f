"""A mean is divided by the count, and multiplied by another number than its own targets: multiply by those (GA214).

Places: `scaled`, the operation in which the other number stands; or `division`, where the mean is divided as it is.
Options: `factor`, the other number as it is written; `divisor`, what the mean divided by.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of, factor_text
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT
from ga_lint.fixers.tree import Tree


@fixer("rescale-mean")
def rescale_mean(target: Target, edits: Edits) -> None:
    tree = target.tree
    divisor = tree.count_again(target.option("divisor"))
    if target.spans("division"):
        kinds = (cst.BinaryOperation, cst.AugAssign, cst.Call)
        division = division_of(tree.find(target.span("division"), *kinds))
        _refuse_rebound(tree, tree.function_of(division.whole), divisor)
        left = tree.code(division.left)
        if division.in_place:
            edits.insert_before(tree.statement_of(division.whole), f"{left} = {left} * {divisor}\n")
        else:
            edits.replace(division.left, f"{factor_text(tree, division.left)} * {divisor}")
        return
    whole = tree.find(target.span("scaled"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    function = tree.function_of(whole)
    _refuse_rebound(tree, function, divisor)
    edits.replace(_written(tree, function, whole, target.option("factor")), divisor)


def _written(tree: Tree, function: cst.FunctionDef, whole: cst.CSTNode, factor: str) -> cst.BaseExpression:
    """Where the other number stands: in the operation itself, or where a share of the count was computed before."""
    places = [whole, *(node for node in tree.inside(function.body, cst.BinaryOperation) if COUNT in names_in(node))]
    for place in places:
        found = [node for node in tree.expressions_in(place) if _unquoted(tree.code(node)) == _unquoted(factor)]
        if len(found) == 1:
            return found[0]
    raise FixNotApplicable(f"where `{factor}` is multiplied is not known")


def _unquoted(text: str) -> str:
    """The facts write every string in single quotes."""
    return text.replace('"', "'")


def _refuse_rebound(tree: Tree, function: cst.FunctionDef, divisor: str) -> None:
    """What the mean divided by is written down once more, so its names must still mean the same."""
    for name in sorted(names_in(tree.parse_expression(divisor))):
        bound = [each.target for each in bindings_in(tree, function.body) if name in names_in(each.target)]
        if len(bound) > 1:
            row = tree.span_of(bound[-1]).start.row
            raise FixNotApplicable(f"{name} is another value from line {row} on")
