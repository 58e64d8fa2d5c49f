"""`super()` is called without the count: hand it on (GA201, GA203); or a head's own `loss_function` is (GA207).

Places: `call`, the `super().compute_loss(...)`, `super().training_step(...)` or `self.loss_function(...)` call.
Options: `steps` (see `terms`).

An override without the parameter gets it too: the two halves always land together. An override that has only
`**kwargs`, and reads nothing from it, passes `**kwargs` on. What is added to the loss afterwards is divided by the
steps: it would stay undivided while the loss no longer is.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.commas import append_argument
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.moving_factors import refuse_moving_factors
from ga_lint.fixers.readers import note_told
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, kwargs_name, parameters, reads_kwargs, receive_count
from ga_lint.fixers.terms import STEPS, divide_other_terms, refuse_other_terms, uses
from ga_lint.fixers.tree import Tree


@fixer("forward-count")
def forward_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    call = tree.find(target.span("call"), cst.Call)
    function = tree.function_of(call)
    end, losses = tree.span_of(call).end, uses(tree, call)
    trains = call_name(call) == "training_step"  # what it returns is only logged: backward has run
    if trains and _runs_backward(tree, function) and not _takes_third(function):
        raise FixNotApplicable(
            "on another path it runs backward itself, and nothing would divide that loss once the count is taken"
        )
    added = False
    if call_name(call) == "loss_function":  # of a model, which does not know how long the window is
        for loss in losses:
            refuse_other_terms(tree, function, end, [loss], target.spans("added"))
    elif not trains:
        steps = target.option_or("steps", STEPS)
        added = divide_other_terms(edits, function, end, losses, steps, added=target.spans("added"))
    if not trains:
        divided = dict.fromkeys(losses, end)
        refuse_moving_factors(tree, function, divided, divided, [call])
        note_told(edits, function, divided)
    given = next((arg for arg in call.args if arg.keyword is not None and arg.keyword.value == COUNT), None)
    if given is not None and tree.code(given.value) == "None":
        edits.replace(given.value, receive_count(edits, function))
        return
    if given is not None or any(arg.star == "**" for arg in call.args):
        raise FixNotApplicable("the call passes keyword arguments on already")
    new = _third_argument(edits, function, call) if trains else _keyword(edits, function, by_name=added)
    append_argument(edits, call, new)


def _keyword(edits: Edits, function: cst.FunctionDef, *, by_name: bool) -> cst.Arg:
    """compute_loss receives the count by name, so `**kwargs` holds it where no parameter does."""
    swallowed = kwargs_name(function)
    named = any(param.name.value == COUNT for param in parameters(function))
    if swallowed and not named and not by_name and not reads_kwargs(function):
        return cst.Arg(cst.Name(swallowed), star="**")
    return cst.Arg(cst.Name(receive_count(edits, function)), keyword=cst.Name(COUNT), equal=_TIGHT)


def _third_argument(edits: Edits, function: cst.FunctionDef, call: cst.Call) -> cst.Arg:
    """training_step receives the count by position, so the third parameter holds it, whatever its name."""
    positional = [*function.params.posonly_params, *function.params.params]
    if len(positional) > 3:
        count = positional[3].name.value
    elif isinstance(function.params.star_arg, cst.Param):
        return cst.Arg(function.params.star_arg.name, star="*")
    else:
        count = receive_count(edits, function)
    if len(call.args) == 2 and all(arg.keyword is None and not arg.star for arg in call.args):
        return cst.Arg(cst.Name(count))
    return cst.Arg(cst.Name(count), keyword=cst.Name(COUNT), equal=_TIGHT)


def _runs_backward(tree: Tree, function: cst.FunctionDef) -> bool:
    """Whatever a switch says today: the count that it takes is taken on every path."""
    return any(call_name(each) == "backward" for each in tree.inside(function.body, cst.Call))


def _takes_third(function: cst.FunctionDef) -> bool:
    """Can the Trainer call it already, with the count by position?"""
    positional = [*function.params.posonly_params, *function.params.params]
    return len(positional) > 3 or isinstance(function.params.star_arg, cst.Param)


def call_name(call: cst.Call) -> str | None:
    """`compute_loss` for `super().compute_loss(...)`."""
    return call.func.attr.value if isinstance(call.func, cst.Attribute) else None


_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
