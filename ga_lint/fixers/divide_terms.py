"""One term of the loss is divided by the count, what is added to it is not: divide that by the steps (GA213).

Places: `counted`, what gives the counted terms: the `super().compute_loss(...)` call, the division by the count.
Options: `steps` (see `terms`).
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, kwargs_name, parameters
from ga_lint.fixers.terms import STEPS, divide_other_terms, uses


@fixer("divide-terms")
def divide_terms(target: Target, edits: Edits) -> None:
    tree = target.tree
    counted = [tree.find(span, cst.Call, cst.BinaryOperation, cst.AugAssign) for span in target.spans("counted")]
    function = tree.function_of(counted[0])
    tree.class_of(function)  # the steps are an attribute of the Trainer
    losses = [text for node in counted for text in uses(tree, node)]
    start = min(tree.span_of(node).end for node in counted)
    if not divide_other_terms(edits, function, start, losses, target.option_or("steps", STEPS), _count(function)):
        raise FixNotApplicable("the term is not added to a name that the counted loss has here")


def _count(function: cst.FunctionDef) -> str:
    """The count as this override has it: a parameter, or only what hands `**kwargs` on to super()."""
    keywords = kwargs_name(function)
    named = any(param.name.value == COUNT for param in parameters(function))
    return COUNT if named or keywords is None else f'{keywords}.get("{COUNT}")'
