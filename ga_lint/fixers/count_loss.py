"""An override computes its own token cross-entropy: divide its sum by the count the Trainer passes (GA201, GA202).

Places: `call`, the loss call (`F.cross_entropy(...)`, `nn.CrossEntropyLoss(...)(...)`, `loss_fct(...)`), or `mean`, the
division of a hand-written masked mean (`(l * mask).sum() / mask.sum()`) or the `.mean()` of the losses that a mask
selects; once for each branch that computes one. `constructor`: where the loss object was built, for `loss_fct(...)`.
Options: `targets` and `ignore_index`, as the loss receives them; needed only where the object is built outside the
method, since then its reduction is not ours to choose. `steps` (see `terms`).

Measured text (exact to 2.5e-7 in float32, one and two ranks): the mean stays where there is no count; otherwise the sum
is divided by it and multiplied by the ranks, since the Trainer's own multiplication is bypassed.
"""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import import_module
from ga_lint.fixers.reduction import reduce_call, refuse_unlike_sum
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, parameter_name, receive_count
from ga_lint.fixers.terms import STEPS, divide_other_terms
from ga_lint.fixers.tree import fresh_name
from ga_lint.source import Position


@fixer("count-loss")
def count_loss(target: Target, edits: Edits) -> None:
    tree = target.tree
    calls = [tree.find(span, cst.Call) for span in target.spans("call")]
    means = [tree.find(span, cst.BinaryOperation, cst.Call) for span in target.spans("mean")]
    if not calls and not means:
        raise FixNotApplicable("the place of the loss is not known")
    function = tree.function_of((*calls, *means)[0])
    receive_count(edits, function)
    names = _Names(import_module(edits, "torch", function), parameter_name(function, 0))
    constructors = [tree.find(span, cst.Call) for span in target.spans("constructor")]
    bound: dict[str, Position] = {}
    for call in calls:
        line, loss, tail = bind(edits, function, call)
        bound[loss] = tree.span_of(line).end
        times = ""
        if constructors and all(tree.function_of(each) is not function for each in constructors):
            times = f" * {_own_count(target, call, constructors)}"
        else:
            reduce_call(edits, call, constructors, f'"mean" if {COUNT} is None else "sum"')
        edits.insert_after(line, f"if {COUNT} is not None:\n{_normalise(loss, names, times)}{tail}")
    for mean in means:
        line, loss, tail = bind(edits, function, mean)
        bound[loss] = tree.span_of(line).end
        selected = selected_losses(mean)
        if selected is not None:
            text = tree.code(selected)
            edits.replace(mean, f"{text}.mean() if {COUNT} is None else {text}.sum()")
            edits.insert_after(line, f"if {COUNT} is not None:\n{_normalise(loss, names)}{tail}")
            continue
        division = division_of(mean)
        edits.replace(mean, tree.code(division.left))
        own = f"if {COUNT} is None:\n    {loss} = {loss} / {tree.code(division.right)}\nelse:\n"
        edits.insert_after(line, f"{own}{_normalise(loss, names)}{tail}")
    divide_other_terms(edits, function, min(bound.values()), list(bound), target.option_or("steps", STEPS))


@dataclass(frozen=True, slots=True)
class _Names:
    torch: str
    self_name: str


def selected_losses(mean: cst.BaseExpression) -> cst.Subscript | None:
    """`losses[labels != -100]` in `losses[labels != -100].mean()`."""
    match mean:
        case cst.Call(func=cst.Attribute(value=cst.Subscript() as selected, attr=cst.Name(value="mean")), args=[]):
            return selected
        case _:
            return None


def _own_count(target: Target, call: cst.Call, constructors: list[cst.Call]) -> str:
    """How many targets this micro-batch's mean was taken over, which takes the mean back to its sum."""
    for constructor in constructors:
        refuse_unlike_sum(target.tree, constructor, 0)
    targets = target.option_or("targets", "")
    if not targets:
        raise FixNotApplicable("the loss object is built outside this method, and its targets are not known")
    shifts = next((arg for arg in call.args if arg.keyword is not None and arg.keyword.value == "shift_labels"), None)
    if shifts is not None:  # of transformers' LabelSmoother
        if target.tree.code(shifts.value) != "True":
            raise FixNotApplicable("whether the loss object shifts its targets is not known")
        targets = f"{targets}[..., 1:]"
    return f"({targets} != {target.option_or('ignore_index', '-100')}).sum()"


def _normalise(loss: str, names: _Names, times: str = "") -> str:
    return (
        f"    if {names.torch}.is_tensor({COUNT}):\n"
        f"        {COUNT} = {COUNT}.to({loss}.device)\n"
        f"    {loss} = {loss}{times} / {COUNT}\n"
        f"    if {names.self_name}.args.average_tokens_across_devices:\n"
        f"        {loss} = {loss} * {names.self_name}.accelerator.num_processes\n"
    )


def bind(
    edits: Edits, function: cst.FunctionDef, value: cst.BaseExpression
) -> tuple[cst.SimpleStatementLine, str, str]:
    """The line that gives the loss a name, the name, and what is to follow. A loss returned at once is named first."""
    tree = edits.tree
    line = tree.statement_of(value)
    match line.body[0]:
        case (
            cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=bound)
            | cst.AnnAssign(target=cst.Name(value=name), value=bound)
        ) if bound is value:
            return line, name, ""
        case cst.Return(value=bound) as statement if bound is value:
            name = fresh_name(tree, value, "loss", "token_loss")
            edits.change(statement, lambda node: _assign(name, node))
            return line, name, f"return {name}\n"
        case _:
            raise FixNotApplicable("the loss is one part of a larger expression; give it a line of its own")


def _assign(name: str, returned: cst.Return) -> cst.Assign:
    assert returned.value is not None
    return cst.Assign([cst.AssignTarget(cst.Name(name))], returned.value, semicolon=returned.semicolon)
