"""Is the loss a plain sum over targets, so that one division by the count is the whole truth?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.tree import Tree
from ga_lint.source import Position


def refuse_other_terms(tree: Tree, function: cst.FunctionDef, start: Position, loss: str) -> None:
    """From `start` on, is something added to the loss? A second term needs a divisor of its own."""

    class Sums(cst.CSTVisitor):
        def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
            if isinstance(node.operator, cst.Add | cst.Subtract):
                self.look(node, (node.left, node.right))

        def visit_AugAssign(self, node: cst.AugAssign) -> None:
            if isinstance(node.operator, cst.AddAssign | cst.SubtractAssign):
                self.look(node, (node.target,))

        def look(self, node: cst.CSTNode, operands: tuple[cst.CSTNode, ...]) -> None:
            if tree.span_of(node).end >= start and any(_is_loss(tree, operand, loss) for operand in operands):
                row = tree.span_of(node).start.row
                raise FixNotApplicable(f"the loss gets another term on line {row}, which needs a divisor of its own")

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


def _is_loss(tree: Tree, node: cst.CSTNode, loss: str) -> bool:
    """The loss itself or a product of it."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply | cst.Divide):
        return _is_loss(tree, node.left, loss) or _is_loss(tree, node.right, loss)
    return tree.code(node) == loss
