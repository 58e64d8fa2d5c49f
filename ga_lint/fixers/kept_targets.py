"""Does every micro-batch of a window reach backward, and with the targets that it was drawn with?

What is counted ahead counts what the loader yields: a helper that masks targets in place, or a condition that keeps a
micro-batch from backward, would make another sum of the losses than the one that is divided.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.names import names_in
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.source import Position

_ONLY_LOOKS = re.compile(
    r"(^|_)(log|print|debug|info|show|display|record|report|save|append|dump|plot|check|assert|validate)\w*$"
)
_CHANGES = frozenset({"pop", "popitem", "clear", "update", "setdefault", "__setitem__"})
_LEAVES = (cst.Raise, cst.Return, cst.Break)


def refuse_handed_to_helper(tree: Tree, loop: cst.For | cst.While, labels: str, before: Position) -> None:
    """Is the micro-batch given to something that returns nothing of use, and so may change it in place?"""
    targets = tree.parse_expression(labels)
    whole = {plain_text(tree, targets), *names_in(targets)}
    for call in _calls_on(tree, loop.body, lambda given: plain_text(tree, given) in whole):
        name, place = _last_name(call), tree.span_of(call).start
        if place < before:
            raise FixNotApplicable(
                f"what `{name}` does to the micro-batch on line {place.row} could change its targets"
            )


def _calls_on(
    tree: Tree, body: cst.CSTNode, is_asked: Callable[[cst.BaseExpression], bool], around: frozenset[str] = frozenset()
) -> Iterator[cst.Call]:
    """The statements that are a call of something that may change an argument of this kind."""
    for line in tree.inside(body, cst.Expr):
        call = line.value
        if isinstance(call, cst.Call) and any(is_asked(arg.value) for arg in call.args):
            name = _last_name(call)
            if not _ONLY_LOOKS.search(name) and not _leaves_as_it_is(tree, name, around):
                yield call


def _leaves_as_it_is(tree: Tree, name: str, around: frozenset[str]) -> bool:
    """Does the function of this name, where the file has one, change no entry and no element of anything?"""
    found = [each for each in tree.inside(tree.module, cst.FunctionDef) if each.name.value == name]
    inside = around | {name}
    return bool(found) and (name in around or not any(_changes_parts(tree, each, inside) for each in found))


def _changes_parts(tree: Tree, function: cst.FunctionDef, around: frozenset[str]) -> bool:
    """Itself, or by what it hands its arguments, or parts of them, to."""
    targets = [one for each in bindings_in(tree, function.body) for one in single_targets(each.target)]
    if any(not isinstance(one, cst.Name) and not (dotted(one) or "").startswith("self.") for one in targets):
        return True
    names = [_last_name(call) for call in tree.inside(function.body, cst.Call)]
    if any(not name or name.endswith("_") or name in _CHANGES for name in names):
        return True
    own_arguments = {each.name.value for each in function.params.params}
    return any(_calls_on(tree, function.body, lambda given: _root(given) in own_arguments, around))


def single_targets(target: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """`x` and `batch["y"]` of `x, batch["y"] = pair`."""
    if isinstance(target, cst.Tuple | cst.List):
        for each in target.elements:
            yield from single_targets(each.value)
    else:
        yield target


def _root(node: cst.BaseExpression) -> str | None:
    """`batch` of `batch["labels"].data`."""
    while isinstance(node, cst.Subscript | cst.Attribute):
        node = node.value
    return node.value if isinstance(node, cst.Name) else None


def plain_text(tree: Tree, node: cst.BaseExpression) -> str:
    """The same whatever its quotes and spaces are."""
    return ast.unparse(ast.parse(f"({tree.code(node)}\n)"))


def _last_name(call: cst.Call) -> str:
    """That of a function or method; empty where what is called has none."""
    return (dotted(call.func) or ".").rpartition(".")[2]


def refuse_taken_out(tree: Tree, loop: cst.For | cst.While, labels: str) -> None:
    """Are the targets taken out of the micro-batch in the loop, where they are to be counted once more?"""
    entry = tree.parse_expression(labels)
    whole = plain_text(tree, entry)
    batch = tree.code(entry.value) if isinstance(entry, cst.Subscript | cst.Attribute) else None
    taken: list[cst.CSTNode] = [
        each
        for each in tree.inside(loop.body, cst.Del)
        if whole in {plain_text(tree, one) for one in single_targets(each.target)}
    ]
    for call in tree.inside(loop.body, cst.Call):
        pops = isinstance(call.func, cst.Attribute) and call.func.attr.value in ("pop", "popitem", "clear")
        if pops and isinstance(call.func, cst.Attribute) and tree.code(call.func.value) == batch:
            key = tree.code(call.args[0].value) if call.args else ""
            if not key.startswith(("'", '"')) or key.strip("'\"") in labels:
                taken.append(call)
    for node in taken[:1]:
        row = tree.span_of(node).start.row
        raise FixNotApplicable(f"the targets are taken out of the micro-batch on line {row}, before they are counted")


def refuse_left_out(tree: Tree, loop: cst.For | cst.While, backward: cst.Call) -> None:
    """Is there a condition of a single round under which backward does not run?"""
    drawn = {name for each in bindings_in(tree, loop) for name in names_in(each.target)}
    inner: cst.CSTNode = backward
    for outer in tree.around(backward):
        if outer is loop:
            return
        if isinstance(outer, cst.If) and inner is not outer.test and names_in(outer.test) & drawn:
            other = outer.orelse if inner is outer.body else outer.body
            if not _runs_or_leaves(tree, other):
                row = tree.span_of(outer).start.row
                raise FixNotApplicable(f"a condition on line {row} can leave micro-batches out of their window")
        inner = outer


def _runs_or_leaves(tree: Tree, branch: cst.CSTNode | None) -> bool:
    """Does backward run in this branch too, or does it end the loop?"""
    if branch is None:
        return False
    if isinstance(branch, cst.If):
        return _runs_or_leaves(tree, branch.body) and _runs_or_leaves(tree, branch.orelse)
    if isinstance(branch, cst.Else):
        return _runs_or_leaves(tree, branch.body)
    if any(_is_backward(call) for call in tree.inside(branch, cst.Call)):
        return True
    assert isinstance(branch, cst.BaseSuite)
    last = branch.body[-1]
    return isinstance(last.body[-1] if isinstance(last, cst.SimpleStatementLine) else last, _LEAVES)


def _is_backward(call: cst.Call) -> bool:
    """Also of what has no name: `(loss * share).backward()`."""
    name = call.func.attr if isinstance(call.func, cst.Attribute) else call.func
    return isinstance(name, cst.Name) and name.value.endswith("backward")
