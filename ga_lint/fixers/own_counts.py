"""Over how many targets is a mean of the user's own taken? Times that number it is its sum again."""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of
from ga_lint.fixers.reduction import reduced_call, refuse_unlike_sum
from ga_lint.fixers.registry import Target
from ga_lint.fixers.tree import Tree
from ga_lint.syntax.repeatable import shortest

_CLASSES = ("CrossEntropyLoss", "NLLLoss")


def count_of_call(tree: Tree, call: cst.Call, constructors: list[cst.Call]) -> str | None:
    """The targets that a cross-entropy does not ignore; None where that cannot be written a second time."""
    built, positional = reduced_call(tree, call, constructors)
    if built is not call and tree.code(built.func).rpartition(".")[2] not in _CLASSES:
        return None
    refuse_unlike_sum(tree, built, positional)
    by_keyword = {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
    by_place = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
    targets = by_keyword.get("target", by_place[1] if len(by_place) > 1 else None)
    if targets is None:
        return None
    options = {arg.keyword.value: arg.value for arg in built.args if arg.keyword is not None}
    ignored = tree.code(options["ignore_index"]) if "ignore_index" in options else "-100"
    return shortest(f"(({tree.code(targets)}) != {ignored}).sum()")


def count_of_mean(tree: Tree, mean: cst.BaseExpression) -> str | None:
    """The same for a mean that is written by hand: what divides it, or how many losses its mask selects."""
    if is_mean(mean):
        selected = selected_losses(mean)
        match None if selected is None else selected.slice:
            case [cst.SubscriptElement(slice=cst.Index(value=mask))]:
                return shortest(f"({tree.code(mask)}).sum()")
        return None
    divisor = division_of(mean).right
    match divisor:  # without targets the mean is 0, whatever it is divided by
        case cst.BinaryOperation(left=count, operator=cst.Add(), right=cst.Float()):
            divisor = count
        case cst.Call(
            func=cst.Attribute(value=count, attr=cst.Name(value="clamp")),
            args=[cst.Arg(keyword=cst.Name(value="min"))],
        ):
            divisor = count
    return None if isinstance(divisor, cst.BinaryOperation) else shortest(f"({tree.code(divisor)})")


def selected_losses(mean: cst.BaseExpression) -> cst.Subscript | None:
    """`losses[labels != -100]` in `losses[labels != -100].mean()`."""
    match mean:
        case cst.Call(func=cst.Attribute(value=cst.Subscript() as selected, attr=cst.Name(value="mean")), args=[]):
            return selected
        case _:
            return None


def is_mean(node: cst.CSTNode) -> bool:
    """`x.mean()`, `torch.mean(x)`, over everything."""
    match node:
        case cst.Call(func=cst.Attribute(value=cst.Name(value="torch"), attr=cst.Name(value="mean")), args=[cst.Arg()]):
            return True
        case cst.Call(func=cst.Attribute(attr=cst.Name(value="mean")), args=[]):
            return True
        case _:
            return False


def losses_of(mean: cst.Call) -> cst.BaseExpression:
    """`losses` in `losses.mean()`, `torch.mean(losses)`."""
    assert isinstance(mean.func, cst.Attribute)
    losses = mean.args[0].value if mean.args else mean.func.value
    product = isinstance(losses, cst.BinaryOperation) and len(losses.lpar) == 1
    return losses.with_changes(lpar=[], rpar=[]) if product else losses


def count_elsewhere(target: Target, call: cst.Call, constructors: list[cst.Call]) -> str:
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
