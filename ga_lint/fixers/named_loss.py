"""Which line gives a loss its name? What divides the loss stands behind it."""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import fresh_name
from ga_lint.fixers.tree import Tree


def bind(edits: Edits, value: cst.BaseExpression) -> tuple[cst.SimpleStatementLine, str, str]:
    """The line that gives the loss a name, the name, and what is to follow. A loss returned at once is named first."""
    tree = edits.tree
    line = tree.statement_of(value)
    match line.body[0]:
        case (
            cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=bound)
            | cst.AnnAssign(target=cst.Name(value=name), value=bound)
        ) if is_scaled(bound, value):
            return line, name, ""
        case cst.Return(value=bound) as statement if is_scaled(bound, value):
            name = fresh_name(tree, value, "loss", "token_loss")
            edits.change(statement, lambda node: _assign(name, node))
            return line, name, f"return {name}\n"
        case _:
            row = tree.span_of(value).start.row
            raise FixNotApplicable(
                f"the loss on line {row} is one part of a larger expression; give it a line of its own"
            )


def bind_first(tree: Tree, value: cst.BaseExpression) -> tuple[cst.SimpleStatementLine, str, str]:
    """The same for a pair of which the loss is the first: `loss, outputs = value`."""
    line = tree.statement_of(value)
    match line.body[0]:
        case cst.Assign(
            targets=[cst.AssignTarget(target=cst.Tuple(elements=[cst.Element(value=cst.Name(value=name)), *_]))],
            value=bound,
        ) if bound is value:
            return line, name, ""
        case _:
            raise FixNotApplicable("the loss is not taken out of what the helper returns where it is called")


def is_scaled(whole: cst.BaseExpression | None, value: cst.BaseExpression) -> bool:
    """Is it the value, or the value times something? Then what divides the whole divides the value."""
    match whole:
        case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
            return is_scaled(left, value) or is_scaled(right, value)
        case _:
            return whole is value


def _assign(name: str, returned: cst.Return) -> cst.Assign:
    assert returned.value is not None
    return cst.Assign([cst.AssignTarget(cst.Name(name))], returned.value, semicolon=returned.semicolon)
