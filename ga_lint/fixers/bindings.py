"""What does a piece of code give a value to? In assignments of every form, loops, `with ... as` and `:=`."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
from msgspec import Struct

from ga_lint.fixers.names import names_in
from ga_lint.fixers.nodes import parents_below
from ga_lint.fixers.tree import Tree


class Binding(Struct, frozen=True):
    """`value` is None where it is not written beside the target, or only changes what was there."""

    node: cst.CSTNode  # the assignment, loop or `as`
    target: cst.BaseExpression
    value: cst.BaseExpression | None


def bindings_in(tree: Tree, node: cst.CSTNode) -> list[Binding]:
    """In the order of the text; each name of `x, y = one, two` with its own value."""
    found = [one for each in (node, *parents_below(node)) for one in _bindings(each)]
    return sorted(found, key=lambda one: tree.span_of(one.target).start)


def names_bound(tree: Tree, node: cst.CSTNode) -> set[str]:
    """The plain names that get a value in there."""
    return {name for one in bindings_in(tree, node) for name in _names_of(one.target)}


def _names_of(target: cst.BaseExpression) -> set[str]:
    return set() if isinstance(target, cst.Attribute | cst.Subscript) else names_in(target)


def _bindings(node: cst.CSTNode) -> Iterator[Binding]:
    match node:
        case cst.Assign(targets=targets, value=value):
            for each in targets:
                yield from _paired(node, each.target, value)
        case cst.AnnAssign(target=target, value=cst.BaseExpression() as value):
            yield Binding(node, target, value)
        case cst.AugAssign(target=target) | cst.NamedExpr(target=target) | cst.For(target=target):
            yield Binding(node, target, None)
        case cst.WithItem(asname=cst.AsName(name=cst.BaseExpression() as name)):
            yield Binding(node, name, None)


def _paired(node: cst.CSTNode, target: cst.BaseExpression, value: cst.BaseExpression) -> Iterator[Binding]:
    """`x, y = one, two`: each with its own; what is taken apart has no value in sight."""
    if not isinstance(target, cst.Tuple | cst.List):
        yield Binding(node, target, value)
        return
    values = value.elements if isinstance(value, cst.Tuple | cst.List) else ()
    starred = any(isinstance(each, cst.StarredElement) for each in (*target.elements, *values))
    if starred or len(values) != len(target.elements):
        yield Binding(node, target, None)
        return
    for one, other in zip(target.elements, values, strict=True):
        yield from _paired(node, one.value, other.value)
