"""Is the loss a sum, and is one of its terms the mean over targets while the others count alike in every forward?

A router's balance or a penalty on the weights is one number for each forward: it is averaged over the forwards of a
window, whatever targets they hold. Known by its name, or by reading nothing but the parameters; any other term that
stands beside the mean could be one over targets too, and that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.added_up import is_added_up
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.names import names_in
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.source import Position, Span

_ONCE = re.compile(r"(^|_)(aux|auxiliary|router|moe|balanc(e|ing)|penalty|regulari[sz](er|ation))(_|$)", re.IGNORECASE)
_ADDED = "something is added to the loss"
_PARAMETERS = re.compile(r"\.(named_)?parameters\(\)")
_KEEPS = frozenset({"mean", "sum", "to", "float", "double", "item"})  # methods that make no other thing of a term


class Summand(Struct, frozen=True):
    """A term of the loss; `once`: it is a number for each forward, no mean over targets."""

    node: cst.BaseExpression
    once: bool


class Definition(Struct, frozen=True):
    """A statement that gives the loss its value, or adds to it."""

    node: cst.Assign | cst.AnnAssign | cst.AugAssign
    value: cst.BaseExpression | None  # None where the loss is one of several names that are unpacked
    adds: bool

    @property
    def overwrites(self) -> bool:
        return not isinstance(self.node, cst.AugAssign)


class Summands:
    """The terms of a loss in the body of a loop.

    `whole`: where sums over parts of the micro-batch are divided by its own count, which makes one mean of them.
    """

    def __init__(self, tree: Tree, loop: cst.For | cst.While, whole: Sequence[Span] = ()) -> None:
        self.tree, self.loop, self._whole = tree, loop, tuple(whole)
        self._bound = {name for each in bindings_in(tree, loop) for name in names_in(each.target)}

    def of(self, loss: cst.BaseExpression, before: Position) -> list[Summand]:
        """The terms of the loss as it is at `before`: one where it is no sum."""
        nodes = [loss] if dotted(loss) is None else self._of_name(dotted(loss) or "", before)
        terms = [term for node in nodes for term in self._split(node)]
        if len(terms) < 2:
            for term in terms:
                self._refuse_hidden(term, before)
            return [Summand(term, False) for term in terms]
        found = [Summand(term, self.is_once(term)) for term in terms]
        means = [term.node for term in found if not term.once]
        if len(means) != 1:
            self.refuse(terms[0])
        self._refuse_hidden(means[0], before)
        return found

    def refuse_several(self, loss: cst.BaseExpression, before: Position) -> None:
        """One weight cannot be right for all terms of a sum."""
        summands = self.of(loss, before)
        if len(summands) > 1:
            self.refuse(summands[0].node)

    def refuse_unseen(self, added: Sequence[Span], summands: Sequence[Summand] = ()) -> None:
        """Is something added to the loss that is none of the terms which were seen to?"""
        unseen = first_unseen(self.tree, added, [one.node for one in summands])
        if unseen is not None:
            raise FixNotApplicable(f"{_ADDED} on line {unseen.start.row}; each term needs a weight of its own")

    def definitions(self, name: str, before: Position) -> list[Definition]:
        """What makes the loss what it is at `before`: the last assignment that surely runs, and all that follow."""
        found = [one for one in self._all_definitions(name) if self.tree.span_of(one.node).start < before]
        new = [index for index, one in enumerate(found) if one.overwrites or self._is_whole(one.node)]
        sure = [index for index in new if self._surely_runs(found[index].node, before)]
        return found[sure[-1] :] if sure else found

    def _is_whole(self, node: cst.CSTNode) -> bool:
        return bool(self._whole) and self.tree.span_of(node) in self._whole

    def _of_name(self, name: str, before: Position) -> list[cst.BaseExpression]:
        found = self.definitions(name, before)
        sums = [one for one in found if one.adds or (one.value is not None and len(list(self._split(one.value))) > 1)]
        if not sums:
            return [one.value for one in found if one.value is not None and one.overwrites][-1:]
        first, *others = found
        surely = first.overwrites and first.value is not None and self._surely_runs(first.node, before)
        if not surely or not all(one.adds for one in others):
            self.refuse(sums[0].node)
        return [one.value for one in found if one.value is not None]

    def _all_definitions(self, name: str) -> list[Definition]:
        tree = self.tree
        found: list[Definition] = []
        for node in tree.inside(self.loop.body, cst.Assign):
            targets = [dotted(each.target) for each in node.targets]
            if name in targets:
                found.append(Definition(node, node.value, adds=False))
            elif any(name in names_in(each.target) for each in node.targets if not dotted(each.target)):
                found.append(Definition(node, None, adds=False))
        annotated = [each for each in tree.inside(self.loop.body, cst.AnnAssign) if each.value is not None]
        found += [Definition(each, each.value, adds=False) for each in annotated if dotted(each.target) == name]
        for augmented in tree.inside(self.loop.body, cst.AugAssign):
            if dotted(augmented.target) == name:
                adds = isinstance(augmented.operator, cst.AddAssign)
                if isinstance(augmented.operator, cst.SubtractAssign):
                    self.refuse(augmented)
                found.append(Definition(augmented, augmented.value if adds else None, adds))
        return sorted(found, key=lambda one: tree.span_of(one.node))

    def _surely_runs(self, node: cst.CSTNode, before: Position) -> bool:
        """Does the statement run whenever `before` is reached? Its block then holds that place too."""
        block = self.tree.enclosing(node, cst.IndentedBlock)
        while block is not None and isinstance(outer := self.tree.parent(block), cst.With):
            block = self.tree.enclosing(outer, cst.IndentedBlock)
        return block is not None and self.tree.span_of(block).end >= before

    def _split(self, node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
        match node:
            case _ if self._is_whole(node):
                yield node
            case cst.BinaryOperation(left=left, operator=cst.Add(), right=right):
                yield from self._split(left)
                yield from self._split(right)
            case cst.BinaryOperation(operator=cst.Subtract(), left=left, right=right):
                if not any(isinstance(side, cst.Integer | cst.Float) for side in (left, right)):
                    self.refuse(node)
                yield node
            case cst.Call(func=cst.Name(value="sum"), args=[cst.Arg(value=cst.List() | cst.Tuple() as terms)]) if (
                not any(isinstance(element, cst.StarredElement) for element in terms.elements)
            ):
                for element in terms.elements:
                    yield from self._split(element.value)
            case cst.Call() if is_added_up(node) and not self.is_once(node):
                self.refuse(node)
            case cst.IfExp(body=body, orelse=orelse):
                if any(len(list(self._split(side))) > 1 for side in (body, orelse)):
                    self.refuse(node)
                yield node
            case _:
                yield node

    def _refuse_hidden(self, term: cst.BaseExpression, before: Position) -> None:
        """Is a term a multiple of a sum, or of a name that stands for one?"""
        if self._is_whole(term):
            return
        match term:
            case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
                sides = [left, right]
            case cst.BinaryOperation(left=left, operator=cst.Divide()):
                sides = [left]
            case _:
                sides = [term]
        for side in sides:
            name = dotted(side)
            if side is not term and len([part for part in self._split(side) if not _is_number(part)]) > 1:
                self.refuse(side)
            if isinstance(side, cst.Name) and name in self._bound:
                read = min(before, self.tree.span_of(self.tree.statement_of(side)).start)  # `loss = loss + penalty`
                values = self._of_name(side.value, read)
                if not self.definitions(side.value, read):  # from the round before
                    self.refuse(side)
                if any(len(list(self._split(value))) > 1 for value in values) or len(values) > 1:
                    self.refuse(values[0])

    def is_once(self, node: cst.BaseExpression, depth: int = 0) -> bool:
        """Is this one number for each forward, times coefficients?"""
        match node:
            case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
                return any(
                    self.is_once(one, depth) and (is_plain(other) or self._reads_nothing(other))
                    for one, other in ((left, right), (right, left))
                )
            case cst.BinaryOperation(left=left, operator=cst.Divide(), right=right):
                return self.is_once(left, depth) and (is_plain(right) or self._reads_nothing(right))
            case cst.Call(func=cst.Attribute(value=inner, attr=cst.Name(value=method))) if method in _KEEPS:
                return self.is_once(inner, depth)
            case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=cst.SimpleString() as key))]):
                return bool(_ONCE.search(str(key.evaluated_value)))
            case cst.Attribute(attr=cst.Name(value=name)):
                return bool(_ONCE.search(name))
            case cst.Name(value=name):
                return self._is_once_by_name(name, depth)
            case cst.Call(func=func):
                says = bool(_ONCE.search((dotted(func) or "").rpartition(".")[2]))
                return self._reads_nothing(node) and (says or bool(_PARAMETERS.search(self.tree.code(node))))
            case _:
                return False

    def _is_once_by_name(self, name: str, depth: int) -> bool:
        found = self._all_definitions(name)
        if len(found) != 1 or depth > 3:
            return False
        value = found[0].value
        return bool(_ONCE.search(name)) if value is None else self.is_once(value, depth + 1)

    def _reads_nothing(self, node: cst.BaseExpression) -> bool:
        """Nothing that the loop binds, so no batch."""
        return not names_in(node) & self._bound

    def refuse(self, node: cst.CSTNode) -> None:
        row = self.tree.span_of(node).start.row
        raise FixNotApplicable(f"the loss is a sum of terms on line {row}; each needs a divisor of its own")


def first_unseen(tree: Tree, added: Sequence[Span], terms: Sequence[cst.CSTNode]) -> Span | None:
    """The first place where something is added that is none of these terms."""
    known = [tree.span_of(one) for one in terms]
    return next((at for at in added if not any(at.contains(one) or one.contains(at) for one in known)), None)


def is_plain(node: cst.BaseExpression) -> bool:
    """Names, attributes, entries and numbers, and their products: reading it a second time gives the same."""
    match node:
        case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
            return is_plain(left) and is_plain(right)
        case cst.Subscript(value=value, slice=[cst.SubscriptElement(slice=cst.Index(value=index))]):
            return is_plain(value) and isinstance(index, cst.Integer | cst.SimpleString)
        case _:
            return _is_number(node) or dotted(node) is not None


def _is_number(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Integer | cst.Float)
