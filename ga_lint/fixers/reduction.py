"""How does a cross-entropy call get another `reduction=`, and when would its sum not be its mean times the count?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.commas import append_argument
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import occurrences
from ga_lint.fixers.tree import Tree, dotted

# Each makes the mean something else than sum / number of targets.
_UNLIKE_A_SUM = ("weight", "size_average", "reduce")
_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))


def reduce_call(edits: Edits, call: cst.Call, constructors: list[cst.Call], reduction: str) -> None:
    """`F.cross_entropy(...)`, `nn.CrossEntropyLoss(...)(...)`, or `loss_fct(...)` built by one of the constructors."""
    _set_reduction(edits, *reduced_call(edits.tree, call, constructors), reduction)


def reduced_call(tree: Tree, call: cst.Call, constructors: list[cst.Call]) -> tuple[cst.Call, int]:
    """The call that takes the reduction and the ignored index, and how many of its first arguments are tensors."""
    if isinstance(call.func, cst.Call):
        return call.func, 0
    if (dotted(call.func) or "").rpartition(".")[2] in ("cross_entropy", "nll_loss"):
        return call, 2
    return _constructor_of(tree, call, constructors), 0


def _constructor_of(tree: Tree, call: cst.Call, constructors: list[cst.Call]) -> cst.Call:
    """Where the loss object of this call was built, in the same function and for this call alone."""
    name = tree.code(call.func)
    built = [each for each in constructors if tree.function_of(each) is tree.function_of(call)]
    if len(built) != 1:
        raise FixNotApplicable(f"{name} is defined elsewhere, so its reduction cannot be chosen here")
    if occurrences(tree.function_of(call).body, name) != 2:
        raise FixNotApplicable(f"{name} is used for another loss too")
    return built[0]


def _set_reduction(edits: Edits, call: cst.Call, positional: int, reduction: str) -> None:
    """In place of a literal "mean", or as a new argument; the first `positional` arguments are tensors."""
    given = refuse_unlike_sum(edits.tree, call, positional)
    if given is not None:
        edits.replace(given.value, reduction)
        return
    value = edits.tree.parse_expression(reduction)
    append_argument(edits, call, cst.Arg(value, keyword=cst.Name("reduction"), equal=_TIGHT))


def refuse_unlike_sum(tree: Tree, call: cst.Call, positional: int) -> cst.Arg | None:
    """Is this call's mean its sum over its number of targets? The `reduction="mean"` argument, where it has one."""
    by_keyword = {arg.keyword.value: arg for arg in call.args if arg.keyword is not None}
    for name in _UNLIKE_A_SUM:
        if name in by_keyword and tree.code(by_keyword[name].value) != "None":
            raise FixNotApplicable(f"the loss is built with {name}=, so its mean is not the sum over the count")
    if any(arg.star for arg in call.args) or len(call.args) - len(by_keyword) > positional:
        raise FixNotApplicable("the loss takes options by position")
    given = by_keyword.get("reduction")
    if given is not None and tree.code(given.value) not in ('"mean"', "'mean'"):
        raise FixNotApplicable(f"the loss is reduced by {tree.code(given.value)}, not by its mean")
    return given
