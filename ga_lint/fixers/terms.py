"""Is the loss a plain sum over targets, so that one division by the count is the whole truth?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.tree import Tree


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


def refuse_sums(tree: Tree, body: cst.CSTNode, loss: cst.BaseExpression) -> None:
    """Is the loss a sum of terms? One weight cannot be right for all of them."""
    name = tree.code(loss)

    class Sums(cst.CSTVisitor):
        def visit_Assign(self, node: cst.Assign) -> None:
            if any(tree.code(target.target) == name for target in node.targets):
                self.look(node.value)

        def visit_AugAssign(self, node: cst.AugAssign) -> None:
            if tree.code(node.target) == name and isinstance(node.operator, cst.AddAssign | cst.SubtractAssign):
                self.refuse(node)

        def look(self, value: cst.BaseExpression) -> None:
            if isinstance(value, cst.BinaryOperation) and isinstance(value.operator, cst.Add | cst.Subtract):
                self.refuse(value)

        def refuse(self, node: cst.CSTNode) -> None:
            row = tree.span_of(node).start.row
            raise FixNotApplicable(f"the loss is a sum of terms on line {row}; each needs a divisor of its own")

    sums = Sums()
    body.visit(sums)
    sums.look(loss)


def _is_name(node: cst.CSTNode, name: str) -> bool:
    """The name itself or a product of it."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply | cst.Divide):
        return _is_name(node.left, name) or _is_name(node.right, name)
    return isinstance(node, cst.Name) and node.value == name
