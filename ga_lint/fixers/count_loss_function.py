"""A loss function returns its micro-batch's mean: divide its sum by the count that it is called with (GA206-GA208).

Places: `call`, the loss call, or `mean`, the division of a hand-written masked mean or the `.mean()` of the losses that
a mask selects. `constructor`: where the loss object was built, for `loss_fct(...)`. Option: `keywords`, the name of the
`**kwargs` that a model's forward must have for the Trainer to pass the count at all.

Unlike in an override (see count_loss), nothing multiplies by the ranks: the Trainer does that with what comes back.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of
from ga_lint.fixers.count_loss import bind, selected_losses
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import import_module
from ga_lint.fixers.reduction import reduce_call
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, receive_count, with_keywords
from ga_lint.fixers.terms import refuse_other_terms


@fixer("count-loss-function")
def count_loss_function(target: Target, edits: Edits) -> None:
    tree = target.tree
    places = [*target.spans("call"), *target.spans("mean")]
    if len(places) != 1:
        raise FixNotApplicable("the place of the loss is not known")
    mean = tree.find(places[0], cst.BinaryOperation, cst.Call)
    function = tree.function_of(mean)
    receive_count(edits, function)
    keywords = target.option_or("keywords", "")
    if keywords:
        edits.change(function.params, lambda params: with_keywords(params, keywords))
    torch = import_module(edits, "torch", function)
    line, loss, tail = bind(edits, function, mean)
    refuse_other_terms(tree, function, tree.span_of(line).end, loss)
    divided = (
        f"    if {torch}.is_tensor({COUNT}):\n"
        f"        {COUNT} = {COUNT}.to({loss}.device)\n"
        f"    {loss} = {loss} / {COUNT}\n"
    )
    selected = selected_losses(mean) if target.spans("mean") else None
    if target.spans("call"):
        assert isinstance(mean, cst.Call)
        constructors = [tree.find(span, cst.Call) for span in target.spans("constructor")]
        reduce_call(edits, mean, constructors, f'"mean" if {COUNT} is None else "sum"')
    elif selected is not None:
        text = tree.code(selected)
        edits.replace(mean, f"{text}.mean() if {COUNT} is None else {text}.sum()")
    else:
        division = division_of(mean)
        edits.replace(mean, tree.code(division.left))
        own = f"if {COUNT} is None:\n    {loss} = {loss} / {tree.code(division.right)}\nelse:\n"
        edits.insert_after(line, f"{own}{divided}{tail}")
        return
    edits.insert_after(line, f"if {COUNT} is not None:\n{divided}{tail}")
