"""Does every micro-batch of a window reach backward, and with the targets that it was drawn with?

What is counted ahead counts what the loader yields: a helper that masks targets in place, or a condition that keeps a
micro-batch from backward, would make another sum of the losses than the one that is divided.
"""

from __future__ import annotations

import re

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


def refuse_handed_to_helper(tree: Tree, loop: cst.For | cst.While, batch: str, before: Position) -> None:
    """Is the micro-batch given to something that returns nothing of use, and so may change it in place?"""
    for line in tree.inside(loop.body, cst.Expr):
        call = line.value
        if not isinstance(call, cst.Call) or tree.span_of(line).start >= before:
            continue
        name = (dotted(call.func) or "").rpartition(".")[2]
        handed = any(dotted(arg.value) == batch for arg in call.args)
        if handed and not _ONLY_LOOKS.search(name) and not _leaves_as_it_is(tree, name):
            row = tree.span_of(line).start.row
            raise FixNotApplicable(f"what `{name}` does to the micro-batch on line {row} could change its targets")


def _leaves_as_it_is(tree: Tree, name: str) -> bool:
    """Does the function of this name, where the file has one, change no entry and no element of anything?"""
    found = [each for each in tree.inside(tree.module, cst.FunctionDef) if each.name.value == name]
    return bool(found) and not any(_changes_parts(tree, each) for each in found)


def _changes_parts(tree: Tree, function: cst.FunctionDef) -> bool:
    for each in bindings_in(tree, function.body):
        own = dotted(each.target) or ""
        if isinstance(each.target, cst.Subscript | cst.Attribute) and not own.startswith("self."):
            return True
    calls = [dotted(call.func) or "." for call in tree.inside(function.body, cst.Call)]
    calls = [name.rpartition(".")[2] for name in calls]
    return any(not name or name.endswith("_") or name in _CHANGES for name in calls)


def refuse_taken_out(tree: Tree, loop: cst.For | cst.While, labels: str) -> None:
    """Are the targets taken out of the micro-batch in the loop, where they are to be counted once more?"""
    entry = tree.parse_expression(labels)
    batch = tree.code(entry.value) if isinstance(entry, cst.Subscript | cst.Attribute) else None
    taken: list[cst.CSTNode] = [each for each in tree.inside(loop.body, cst.Del) if tree.code(each.target) == labels]
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
    if any((dotted(call.func) or ".").endswith("backward") for call in tree.inside(branch, cst.Call)):
        return True
    block = branch.body if isinstance(branch, cst.Else) else branch
    lines = block.body if isinstance(block, cst.IndentedBlock) else ()
    last = lines[-1] if lines else None
    return isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[-1], _LEAVES)
