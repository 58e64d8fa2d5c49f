"""What is divided by what, however it is written, and how is it written another way?"""

from __future__ import annotations

from typing import TypeVar

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.tree import Tree, dotted

Expression = TypeVar("Expression", bound=cst.BaseExpression)


class Division(Struct, frozen=True):
    """`x / y`, `x * (1 / y)`, `x.div(y)`, `torch.div(x, y)`, `x /= y`, `x.div_(y)`.

    `whole` is the expression, or for `x /= y` the statement's own node.
    """

    whole: cst.BinaryOperation | cst.Call | cst.AugAssign
    left: cst.BaseExpression
    right: cst.BaseExpression

    @property
    def in_place(self) -> bool:
        """The value of the name changes without an assignment."""
        return isinstance(self.whole, cst.AugAssign) or (
            isinstance(self.whole, cst.Call)
            and isinstance(self.whole.func, cst.Attribute)
            and self.whole.func.attr.value.endswith("_")
        )


def division_of(node: cst.CSTNode) -> Division:
    """Read the node as a division, or refuse."""
    match node:
        case cst.BinaryOperation(left=left, operator=cst.Divide(), right=right):
            return Division(node, left, right)
        case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
            for kept, inverse in ((left, right), (right, left)):
                match inverse:
                    case cst.BinaryOperation(left=cst.Integer() | cst.Float() as one, operator=cst.Divide(), right=n):
                        if float(one.evaluated_value) == 1.0:
                            return Division(node, kept, n)
        case cst.AugAssign(target=cst.BaseExpression() as left, operator=cst.DivideAssign(), value=right):
            return Division(node, left, right)
        case cst.Call(func=cst.Attribute(value=left, attr=cst.Name(value=name)), args=args):
            if name in _METHODS and len(args) == 1 and args[0].keyword is None:
                return Division(node, left, args[0].value)
            if name in _FUNCTIONS and dotted(left) == "torch" and len(args) == 2 and not any(a.keyword for a in args):
                return Division(node, args[0].value, args[1].value)
    raise FixNotApplicable("the division is written in a form that is not known here")


def divided_name(tree: Tree, division: Division) -> str | None:
    """The name of what was divided, where it has one from then on."""
    match tree.statement_of(division.whole).body[0]:
        case (
            cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])
            | cst.AnnAssign(target=cst.Name(value=name))
            | cst.AugAssign(target=cst.Name(value=name))
        ):
            return name
        case _:
            return dotted(division.left) if division.in_place else None


_METHODS = frozenset({"div", "div_", "true_divide", "true_divide_", "divide", "divide_"})
_FUNCTIONS = frozenset({"div", "true_divide", "divide"})
_TAKES_ALL = (cst.Arg, cst.Assign, cst.Return)  # whatever the expression, it needs no parentheses there


def replace_division(edits: Edits, division: Division, factor: str | None) -> None:
    """`x / y` becomes `x * factor`, or plain `x` where there is no factor."""
    whole, left = division.whole, division.left
    if isinstance(whole, cst.AugAssign):
        if factor is None:
            edits.remove(whole)
        else:
            value = edits.tree.parse_expression(factor)
            edits.change(whole, lambda node: node.with_changes(operator=cst.MultiplyAssign(), value=value))
        return
    if division.in_place:
        raise FixNotApplicable("the division changes the tensor in place")
    if factor is None and _is_noop(edits.tree, division):
        edits.remove(whole)
        return
    outer = edits.tree.parent(whole)
    if factor is None and isinstance(outer, _TAKES_ALL):
        left = left.with_changes(lpar=[], rpar=[])
    text = edits.tree.code(left) if factor is None else f"{factor_text(edits.tree, left)} * {factor}"
    if factor is None:
        # What a call held together, `torch.div(a + b, n) * 2`, falls apart without it.
        held = whole.lpar or (isinstance(whole, cst.Call) and not isinstance(outer, _TAKES_ALL))
        held = held and not _needs_no_parentheses(left)
    else:
        held = whole.lpar or _binds_tighter(outer, whole)
    edits.replace(whole, f"({text})" if held else text)


def _is_noop(tree: Tree, division: Division) -> bool:
    """`loss = loss / n` without the division says nothing any more."""
    match tree.parent(division.whole):
        case cst.Assign(targets=[cst.AssignTarget(target=target)]) | cst.AnnAssign(target=target):
            name = dotted(target)
            return name is not None and name == dotted(division.left)
    return False


def _needs_no_parentheses(kept: cst.BaseExpression) -> bool:
    return bool(kept.lpar) or isinstance(kept, cst.Name | cst.Attribute | cst.Call | cst.Subscript)


def _binds_tighter(outer: cst.CSTNode | None, whole: cst.BaseExpression) -> bool:
    """`loss.div(n).backward()`: the product has to be held together."""
    return not whole.lpar and (
        (isinstance(outer, cst.Attribute | cst.Subscript | cst.Call) and isinstance(whole, cst.Call))
        or isinstance(outer, cst.UnaryOperation)
        or (isinstance(outer, cst.BinaryOperation) and isinstance(outer.operator, cst.Power | cst.Divide | cst.Modulo))
    )


def factor_text(tree: Tree, node: cst.BaseExpression) -> str:
    """The text of a factor: sums and conditionals in parentheses."""
    return tree.code(as_factor(node))


def as_factor(node: Expression) -> Expression:
    """The node as it may stand beside `*` and `/`."""
    loose = isinstance(node, cst.IfExp | cst.Lambda | cst.BooleanOperation | cst.Comparison | cst.NamedExpr) or (
        isinstance(node, cst.BinaryOperation) and not isinstance(node.operator, _PRODUCTS)
    )
    if not loose or node.lpar:
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


_PRODUCTS = (cst.Multiply, cst.Divide, cst.MatrixMultiply, cst.FloorDivide, cst.Modulo, cst.Power)
