"""A training_step of one's own runs backward, and nobody divides (GA219, and GA201 where it takes no count either).

Places: `value`, what backward receives; `call`, the `self.compute_loss(...)` that gives it, where the Trainer's own
divides by the count once it is handed one, and `division`, the one by the steps that goes then (GA203); `model` and
`loss`, as delegate-loss has them, where compute_loss is to give the model's own loss. Options: `steps` (see `terms`);
`take`: the method has no parameter for it.

The Trainer logs the sum of what its steps return, so a return that divides by the steps stops doing so.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, replace_division
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import append_argument
from ga_lint.fixers.delegate_loss import delegate_to, whole_conditionals
from ga_lint.fixers.divide_by_steps import scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.moving_factors import refuse_moving_factors
from ga_lint.fixers.named_loss import bind
from ga_lint.fixers.names import names_in
from ga_lint.fixers.readers import note_told
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, parameter_name, receive_count
from ga_lint.fixers.terms import STEPS, common_statement
from ga_lint.fixers.tree import Tree


@fixer("divide-in-step")
def divide_in_step(target: Target, edits: Edits) -> None:
    tree = target.tree
    value = tree.expression(target.span("value"))
    function = tree.function_of(value)
    tree.class_of(function)
    owner = parameter_name(function, 0)
    steps = f"{owner}.{target.option_or('steps', STEPS)}"
    count = _count(edits, function, take=bool(target.option_or("take", "")))
    if target.spans("call"):
        call = tree.find(target.span("call"), cst.Call)
        _hand_on(edits, function, call, count, steps)
        if target.spans("division"):
            _drop(edits, target.division(), call)
        return
    if target.spans("model"):
        losses = whole_conditionals(tree, [tree.expression(span) for span in target.spans("loss")])
        _delegate(edits, tree.find(target.span("model"), cst.Call), losses, count, steps)
        return
    backward = tree.enclosing(value, cst.Call)
    if backward is None:
        raise FixNotApplicable("backward is called in a form that is not known here")
    first = common_statement(tree, function, _backwards(tree, function))  # apex has a branch of its own
    if not isinstance(value, cst.Name) or _is_bound_after(tree, function, value.value, first):
        scale_backward(edits, backward, "/", steps)
        _tell_engine(edits, backward, owner)
        return
    edits.insert_before(first, f"{value.value} = {value.value} / {steps}\n")
    for each in _backwards(tree, function):
        _tell_engine(edits, each, owner)  # not only there: what is returned, and logged, is divided under DeepSpeed too
    _leave_returns_undivided(edits, function, value.value)


def _count(edits: Edits, function: cst.FunctionDef, *, take: bool) -> str:
    """The third parameter, whatever it is called: the Trainer passes the count by position."""
    positional = [*function.params.posonly_params, *function.params.params]
    return receive_count(edits, function) if take or len(positional) < 4 else positional[3].name.value


def _hand_on(edits: Edits, function: cst.FunctionDef, call: cst.Call, count: str, steps: str) -> None:
    tree, owner = edits.tree, parameter_name(function, 0)
    if any(arg.star or (arg.keyword is not None and arg.keyword.value == COUNT) for arg in call.args):
        raise FixNotApplicable("the call passes keyword arguments on already")
    line, loss, tail = bind(edits, call)
    append_argument(edits, call, cst.Arg(cst.Name(count), keyword=cst.Name(COUNT), equal=_TIGHT))
    edits.insert_after(line, f"{_where_uncounted(owner, count, loss, steps)}{tail}")
    for backward in _backwards(tree, function):
        _tell_engine(edits, backward, owner)
    _leave_returns_undivided(edits, function, loss)
    divided = {loss: tree.span_of(line).end}
    refuse_moving_factors(tree, function, divided, divided)
    note_told(edits, function, divided)


def _drop(edits: Edits, division: Division, call: cst.Call) -> None:
    if edits.tree.span_of(division.whole).contains(edits.tree.span_of(call)):
        raise FixNotApplicable("compute_loss is called in the expression that divides")
    replace_division(edits, division, None)


def _delegate(edits: Edits, call: cst.Call, losses: list[cst.BaseExpression], count: str, steps: str) -> None:
    """`model(**inputs).loss` is what compute_loss gives, which divides by the count and minds the ranks."""
    tree, function = edits.tree, edits.tree.function_of(call)
    owner = parameter_name(function, 0)
    if any(method.name.value == "compute_loss" for method in tree.inside(tree.class_of(function), cst.FunctionDef)):
        raise FixNotApplicable("the class has a compute_loss of its own, which may give another loss than the model")
    if count != COUNT:
        raise FixNotApplicable(f"the count is called {count} here")
    loss = delegate_to(edits, call, losses, owner)
    if not loss:
        raise FixNotApplicable("the loss has no name of its own")
    line = tree.statement_of(losses[0] if tree.span_of(losses[0]).contains(tree.span_of(call)) else call)
    edits.insert_after(line, _where_uncounted(owner, count, loss, steps))
    for backward in _backwards(tree, function):
        _tell_engine(edits, backward, owner)
    _leave_returns_undivided(edits, function, loss)
    divided = {loss: tree.span_of(line).end}
    refuse_moving_factors(tree, function, divided, divided)
    note_told(edits, function, divided)


def _where_uncounted(owner: str, count: str, loss: str, steps: str) -> str:
    return f"if {count} is None or not {owner}.model_accepts_loss_kwargs:\n    {loss} = {loss} / {steps}\n"


def _tell_engine(edits: Edits, backward: cst.Call, owner: str) -> None:
    if _by_accelerator(edits.tree, owner, backward):
        told = f'({{"scale_wrt_gas": False}} if {owner}.is_deepspeed_enabled else {{}})'
        append_argument(edits, backward, cst.Arg(edits.tree.parse_expression(told), star="**"))


def _is_bound_after(tree: Tree, function: cst.FunctionDef, name: str, first: cst.CSTNode) -> bool:
    """Does a step with several losses compute this one only when the first backward has run?"""
    bound = [each.target for each in bindings_in(tree, function.body)]
    return any(name in names_in(each) and tree.span_of(each).start > tree.span_of(first).start for each in bound)


def _by_accelerator(tree: Tree, owner: str, backward: cst.Call) -> bool:
    """DeepSpeed's engine divides what accelerate hands it, unless it is told not to."""
    return tree.code(backward.func) == f"{owner}.accelerator.backward"


def _backwards(tree: Tree, function: cst.FunctionDef) -> list[cst.Call]:
    calls = tree.inside(function.body, cst.Call)
    return [call for call in calls if isinstance(call.func, cst.Attribute) and call.func.attr.value == "backward"]


def _leave_returns_undivided(edits: Edits, function: cst.FunctionDef, loss: str) -> None:
    """`return loss.detach() / self.args.gradient_accumulation_steps` would divide once more."""
    tree = edits.tree
    for returned in tree.inside(function.body, cst.Return):
        for division in tree.inside(returned, cst.BinaryOperation):
            divides = isinstance(division.operator, cst.Divide) and "accumulation_steps" in tree.code(division.right)
            if divides and loss in names_in(division.left):
                edits.replace(division, tree.code(division.left))


_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
