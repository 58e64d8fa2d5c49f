"""How are the terms of a loss weighed, each by a share of its own?

Where the division stands alone, the terms are weighed where they are put together and the division goes. Where the
undivided sum is read in between, or nobody divides, the weighed sum is written in place of the loss.
"""

from __future__ import annotations

from collections.abc import Callable

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, as_factor, factor_text, replace_division
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.logged import read_beside
from ga_lint.fixers.names import names_in
from ga_lint.fixers.summands import Summand, Summands, is_plain
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.source import Position


class Shares(Struct, frozen=True):
    """The names of the two weights; `equal` is None where it would be one."""

    targets: str
    equal: str | None

    def of(self, term: Summand) -> str | None:
        return self.equal if term.once else self.targets


class Sum(Struct, frozen=True):
    """A loss of several terms; `inside`: the sum is written out where the loss is divided or handed to backward."""

    summands: tuple[Summand, ...]
    loss: cst.BaseExpression
    inside: bool
    read: int | None  # the row where the sum is read undivided


def sum_of(terms: Summands, loss: cst.BaseExpression, before: Position, division: Division | None) -> Sum | None:
    """The terms of the loss as it is at `before`; None where it is no sum."""
    tree, loop = terms.tree, terms.loop
    summands = terms.of(loss, before)
    if len(summands) < 2:
        return None
    name = dotted(loss)
    read = None if name is None else _first_read(terms, name, before)
    if read is None and isinstance(loss, cst.Name) and division is not None:
        read = read_beside(tree, loop, loss.value, division)
    return Sum(tuple(summands), loss, name is None, read)


def weigh_division(edits: Edits, total: Sum, division: Division, shares: Shares) -> None:
    """Weigh the terms in place of the division."""
    tree = edits.tree
    if total.inside or total.read is not None:
        if isinstance(division.whole, cst.AugAssign):
            raise FixNotApplicable(f"the loss is read on line {total.read}, before it is divided")
        _refuse_rebound(tree, total, tree.span_of(division.whole).start)
        alone = isinstance(tree.parent(division.whole), cst.Assign | cst.Arg) and not division.whole.lpar
        text = _text(tree, total, shares)
        edits.replace(division.whole, text if alone else f"({text})")
        return
    for term in total.summands:
        if (share := shares.of(term)) is not None:
            edits.change(term.node, _times(share))
    replace_division(edits, division, None)


def _times(weight: str) -> Callable[[cst.BaseExpression], cst.BaseExpression]:
    return lambda node: cst.BinaryOperation(as_factor(node), cst.Multiply(), cst.Name(weight))


def weigh_backward(edits: Edits, total: Sum, shares: Shares) -> None:
    """Weigh the terms of what backward is called on or with."""
    tree = edits.tree
    _refuse_rebound(tree, total, tree.span_of(total.loss).start)
    text = _text(tree, total, shares)
    edits.replace(total.loss, text if isinstance(tree.parent(total.loss), cst.Arg) else f"({text})")


def _text(tree: Tree, total: Sum, shares: Shares) -> str:
    weighed = ((term.node, shares.of(term)) for term in total.summands)
    return " + ".join(f"{factor_text(tree, node)} * {share}" if share else tree.code(node) for node, share in weighed)


def _refuse_rebound(tree: Tree, total: Sum, before: Position) -> None:
    """The terms are read a second time here: each must be the same then."""
    _refuse_other_name(tree, total, before)
    for term in total.summands:
        if not total.inside and not is_plain(term.node):
            row = tree.span_of(term.node).start.row
            raise FixNotApplicable(f"the loss is a sum of terms on line {row}; each needs a divisor of its own")
        start = tree.span_of(tree.statement_of(term.node)).start  # `loss = loss + penalty`: from here on another
        for each in bindings_in(tree, tree.module):
            place = tree.span_of(each.target).start
            if not total.inside and start <= place < before and _changed(each.target) & _read(tree, term):
                raise FixNotApplicable(f"a term of the loss changes on line {place.row}")


def _refuse_other_name(tree: Tree, total: Sum, before: Position) -> None:
    """`loss = outputs.loss; loss += aux` changes the tensor itself: `outputs.loss` is the sum too from then on."""
    first = total.summands[0].node
    if total.inside or not isinstance(first, cst.Name | cst.Attribute | cst.Subscript):
        return
    start = tree.span_of(first).end
    for added in tree.inside(tree.module, cst.AugAssign):
        place = tree.span_of(added).start
        if start < place < before and dotted(added.target) == dotted(total.loss):
            raise FixNotApplicable(f"`{tree.code(first)}` is changed in place on line {place.row}, under another name")


def _changed(target: cst.BaseExpression) -> set[str]:
    """The names or the attribute that are given a value, or a part of whose value."""
    while isinstance(target, cst.Subscript):
        target = target.value
    name = dotted(target)
    return names_in(target) if name is None else {name}


def _read(tree: Tree, term: Summand) -> set[str]:
    """The names and attributes in a term."""
    attributes = (dotted(part) for part in tree.inside(term.node, cst.Attribute))
    return names_in(term.node) | {text for text in attributes if text}


def _first_read(terms: Summands, name: str, before: Position) -> int | None:
    """The row where the loss is read after it is put together and before it is divided."""
    tree = terms.tree
    found = terms.definitions(name, before)
    start = tree.span_of(found[0].node).end
    targets = {tree.span_of(one.node.target) for one in found if isinstance(one.node, cst.AugAssign)}
    for kind in (cst.Name, cst.Attribute):
        for node in tree.inside(terms.loop.body, kind):
            place = tree.span_of(node)
            if start < place.start and place.end < before and place not in targets and dotted(node) == name:
                outer = tree.parent(node)
                if not (isinstance(outer, cst.Attribute) and outer.attr is node) and not isinstance(
                    outer, cst.AssignTarget
                ):
                    return place.start.row
    return None
