"""Is the loss a plain sum over targets, so that one division by the count is the whole truth?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.commas import append_argument
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.tree import Tree

# Each makes the mean something else than sum / number of targets.
_UNLIKE_A_SUM = ("weight", "size_average", "reduce")


def set_reduction(edits: Edits, call: cst.Call, positional: int, reduction: str) -> None:
    """Give a loss call its `reduction=`, in place of a literal "mean"; the first `positional` arguments are tensors."""
    tree = edits.tree
    by_keyword = {arg.keyword.value: arg for arg in call.args if arg.keyword is not None}
    for name in _UNLIKE_A_SUM:
        if name in by_keyword and tree.code(by_keyword[name].value) != "None":
            raise FixNotApplicable(f"the loss is built with {name}=, so its mean is not the sum over the count")
    if any(arg.star for arg in call.args) or len(call.args) - len(by_keyword) > positional:
        raise FixNotApplicable("the loss takes options by position")
    given = by_keyword.get("reduction")
    if given is not None:
        if tree.code(given.value) not in ('"mean"', "'mean'"):
            raise FixNotApplicable(f"the loss is reduced by {tree.code(given.value)}, not by its mean")
        edits.replace(given.value, reduction)
        return
    new = cst.Arg(tree.parse_expression(reduction), keyword=cst.Name("reduction"), equal=_TIGHT)
    append_argument(edits, call, new)


def refuse_other_terms(tree: Tree, function: cst.FunctionDef, line: cst.SimpleStatementLine, name: str) -> None:
    """After `line`, is something added to the loss? A second term needs a divisor of its own."""
    start = tree.span_of(line).end

    class Sums(cst.CSTVisitor):
        def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
            if isinstance(node.operator, cst.Add | cst.Subtract):
                self.look(node, (node.left, node.right))

        def visit_AugAssign(self, node: cst.AugAssign) -> None:
            if isinstance(node.operator, cst.AddAssign | cst.SubtractAssign):
                self.look(node, (node.target,))

        def look(self, node: cst.CSTNode, operands: tuple[cst.CSTNode, ...]) -> None:
            if tree.span_of(node).start >= start and any(_is_name(operand, name) for operand in operands):
                raise FixNotApplicable(f"{name} gets another term on line {tree.span_of(node).start.row}")

    function.body.visit(Sums())


def _is_name(node: cst.CSTNode, name: str) -> bool:
    """The name itself or a product of it."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply | cst.Divide):
        return _is_name(node.left, name) or _is_name(node.right, name)
    return isinstance(node, cst.Name) and node.value == name


_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
