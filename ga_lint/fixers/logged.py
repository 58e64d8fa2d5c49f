"""Who reads a loss besides backward, for a log line? A rewrite of the loss must not put another number there."""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.arithmetic import Division, divided_name, replace_division
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.divide_by_steps import loss_of
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in
from ga_lint.fixers.readers import is_value_read, note_shown
from ga_lint.fixers.tree import Tree
from ga_lint.source import Position


def is_read_undivided(tree: Tree, loop: cst.For | cst.While, call: cst.Call, division: Division) -> bool:
    """Is the mean that the call gives read anywhere but where it is divided?"""
    line = tree.statement_of(division.whole)
    stays = not isinstance(division.left, cst.Name) or divided_name(tree, division) != division.left.value
    until = None if stays else tree.span_of(line).start
    names = {name for each in bindings_in(tree, tree.statement_of(call)) for name in names_in(each.target)}
    names |= names_in(division.left) if isinstance(division.left, cst.Name) else set()
    return any(_reads(tree, loop, name, tree.span_of(call).end, until, line) for name in names)


def keep_mean(edits: Edits, loop: cst.For | cst.While, division: Division, backward: cst.Call) -> bool:
    """Where every log line multiplies the divided loss by the steps again, it reads the mean itself instead.

    `loss = loss / steps` goes then, and only what backward receives is to be scaled.
    """
    tree = edits.tree
    name, line = divided_name(tree, division), tree.statement_of(division.whole)
    if name is None or tree.code(division.left) != name or tree.code(loss_of(backward)) != name:
        return False
    run = tree.statement_of(backward)
    steps = tree.code(_whole_number(division.right))
    if not _runs_with(tree, line, run, steps):
        return False
    read = _reads(tree, loop, name, tree.span_of(line).end, None, run)
    products = [_multiplied(tree, each, steps) for each in read]
    if not products or None in products:
        return False
    for product in products:
        assert product is not None
        edits.replace(*product)
    replace_division(edits, division, None)
    return True


def note_parts(edits: Edits, loop: cst.For | cst.While, division: Division) -> None:
    """Note the lines that go on to read what was divided by the steps, and by the window's targets now.

    Whatever they do with it, it is no gradient's: backward is what the loss is handed to.
    """
    tree = edits.tree
    name, line = divided_name(tree, division), tree.statement_of(division.whole)
    if name is None:
        return
    for read in _reads(tree, loop, name, tree.span_of(line).end, None, line):
        if is_value_read(tree, read) and not _is_handed_to_backward(tree, read):
            note_shown(edits, read)


def _is_handed_to_backward(tree: Tree, read: cst.Name) -> bool:
    """`loss.backward()`, `accelerator.backward(loss)`, `with amp.scale_loss(loss, optimizer) as scaled_loss:`."""
    for outer in tree.around(read):
        if isinstance(outer, cst.WithItem):
            return True
        if isinstance(outer, cst.BaseSmallStatement):
            return False
        match outer:
            case cst.Call(func=cst.Attribute(attr=cst.Name(value=name))) if name.endswith("backward"):
                return True
    return False


def read_beside(tree: Tree, loop: cst.For | cst.While, name: str, division: Division) -> int | None:
    """The row where what was divided is read behind its division, which gives another name, or none."""
    line = tree.statement_of(division.whole)
    if divided_name(tree, division) == name:
        return None
    found = _reads(tree, loop, name, tree.span_of(line).end, None, line)
    return tree.span_of(found[0]).start.row if found else None


def _whole_number(steps: cst.BaseExpression) -> cst.BaseExpression:
    """`steps` of `float(steps)`."""
    match steps:
        case cst.Call(func=cst.Name(value="float" | "int"), args=[cst.Arg(value=inner)]):
            return inner
    return steps


def _runs_with(tree: Tree, line: cst.SimpleStatementLine, run: cst.SimpleStatementLine, steps: str) -> bool:
    """Is the loss divided whenever backward runs, or but for `if steps > 1:`?"""
    guard = tree.enclosing(line, cst.If)
    if (
        guard is not None
        and list(guard.body.body) == [line]
        and guard.orelse is None
        and steps in tree.code(guard.test)
    ):
        return tree.parent(guard) is tree.parent(run)
    return tree.parent(line) is tree.parent(run)


def _reads(
    tree: Tree,
    loop: cst.For | cst.While,
    name: str,
    after: Position,
    until: Position | None,
    besides: cst.SimpleStatementLine,
) -> list[cst.Name]:
    """Where the function reads the name after this place, for as long as it stands for the loss of the loop."""
    found = []
    for node in tree.inside(tree.scope_of(loop), cst.Name):
        place = tree.span_of(node).start
        if node.value != name or place < after or (until is not None and place >= until):
            continue
        outer = tree.parent(node)
        if isinstance(outer, cst.AssignTarget):
            if loop not in tree.around(node):
                break  # another loss by the same name
            continue
        named = isinstance(outer, cst.Attribute) and outer.attr is node
        if (
            not named
            and not (isinstance(outer, cst.Arg) and outer.keyword is node)
            and besides not in tree.around(node)
        ):
            found.append(node)
    return found


def _multiplied(tree: Tree, read: cst.Name, steps: str) -> tuple[cst.BaseExpression, str] | None:
    """`loss.item() * steps` around the name, and what is left of it without the steps."""
    kept: cst.BaseExpression = read
    for outer in tree.around(read):
        match outer:
            case cst.Arg():
                pass
            case cst.Attribute() | cst.Call():
                kept = outer
            case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
                return (outer, tree.code(kept)) if tree.code(right if left is kept else left) == steps else None
            case _:
                break
    return None
