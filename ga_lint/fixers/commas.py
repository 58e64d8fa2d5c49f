"""How does a parameter or an argument join a list that the user has laid out?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import libcst as cst

from ga_lint.fixers.edits import Edits
from ga_lint.fixers.tree import Statement, Tree

MAX_WIDTH = 120  # a longer line is broken below the first argument

Item = TypeVar("Item", cst.Param, cst.Arg)


def append_argument(edits: Edits, call: cst.Call, new: cst.Arg) -> None:
    """Give a call one more argument, on a line of its own where the line of the last one would become too long."""
    gap = line_break(edits.tree, call.args, len(edits.tree.code(new)) + len(", ")) if call.args else None
    edits.change(call, lambda node: node.with_changes(args=appended(node.args, new, gap)))


def without_argument(arguments: Sequence[cst.Arg], index: int) -> list[cst.Arg]:
    """The list without one of its arguments; what led from the last one to the bracket still does."""
    left = [argument for number, argument in enumerate(arguments) if number != index]
    gone = arguments[index]
    if left and index == len(left):
        left[-1] = left[-1].with_changes(comma=gone.comma, whitespace_after_arg=gone.whitespace_after_arg)
    return left


def line_break(tree: Tree, items: Sequence[Item], added: int) -> cst.ParenthesizedWhitespace | None:
    """A line end that puts a new item below the first one of the last line; None where there is room.

    There is none behind a comment, which stays where it is.
    """
    row = tree.span_of(items[-1]).end.row
    line = tree.source.lines[row - 1]
    columns = [tree.span_of(item).start.column for item in items if tree.span_of(item).start.row == row]
    column = min(columns) - 1
    ends = _comment_behind(items[-1])
    shares = len(columns) > 1 or len(items) == 1
    is_full = len(line) + added > MAX_WIDTH or (shares and ends is not None)
    statement = next(outer for outer in tree.around(items[-1]) if isinstance(outer, Statement))
    first = tree.source.lines[tree.span_of(statement).start.row - 1]
    indent = len(first) - len(first.lstrip())
    if not is_full or column < indent or "\t" in line[:column] or not line[:column].isascii():
        return None
    below = cst.SimpleWhitespace(" " * (column - indent))
    return cst.ParenthesizedWhitespace(first_line=ends or cst.TrailingWhitespace(), indent=True, last_line=below)


def _comment_behind(last: Item) -> cst.TrailingWhitespace | None:
    """The end of the line of the last item, where a comment stands on it."""
    closing = last.comma.whitespace_after if isinstance(last.comma, cst.Comma) else _after(last)
    if isinstance(closing, cst.ParenthesizedWhitespace) and closing.first_line.comment is not None:
        return closing.first_line
    return None


def appended(items: Sequence[Item], new: Item, gap: cst.BaseParenthesizableWhitespace | None = None) -> list[Item]:
    """The list with `new` at its end: a trailing comma, comments and one item a line stay as they are."""
    if not items:
        return [new]
    *head, last = items
    after = _after(last)
    if isinstance(last.comma, cst.Comma):  # a trailing comma, with what leads to the bracket
        closing = last.comma.whitespace_after
        opened = last.with_changes(comma=cst.Comma(whitespace_after=gap or _joint(head, closing)))
        return [*head, opened, new.with_changes(comma=last.comma.with_changes(whitespace_after=_bare(closing)))]
    opened = _with_after(last, cst.SimpleWhitespace("")).with_changes(
        comma=cst.Comma(whitespace_after=gap or _joint(head, after))
    )
    return [*head, opened, _with_after(new, _bare(after))]


def _joint(head: Sequence[Item], closing: cst.BaseParenthesizableWhitespace) -> cst.BaseParenthesizableWhitespace:
    """What stands between the old last item and the new one: a line end where every item has its own line."""
    gaps = [item.comma.whitespace_after for item in head if isinstance(item.comma, cst.Comma)]
    broken = [gap for gap in gaps if isinstance(gap, cst.ParenthesizedWhitespace)]
    if not broken or len(broken) < len(gaps):
        if isinstance(closing, cst.ParenthesizedWhitespace) and closing.first_line.comment is not None:
            return closing.with_changes(empty_lines=[])  # the comment ends the line anyway
        return cst.SimpleWhitespace(" ")
    joint = broken[-1].with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
    if isinstance(closing, cst.ParenthesizedWhitespace):
        joint = joint.with_changes(first_line=closing.first_line, empty_lines=closing.empty_lines)
    return joint


def _bare(gap: cst.BaseParenthesizableWhitespace) -> cst.BaseParenthesizableWhitespace:
    """The same line break without its comments: they stayed with the item that they were written for."""
    if isinstance(gap, cst.ParenthesizedWhitespace):
        return gap.with_changes(first_line=cst.TrailingWhitespace(), empty_lines=[])
    return gap


def bare_comma(comma: cst.Comma) -> cst.Comma:
    """A copy of the user's comma for a new item in the middle of the list."""
    return comma.with_changes(whitespace_after=_bare(comma.whitespace_after))


def _after(item: Item) -> cst.BaseParenthesizableWhitespace:
    return item.whitespace_after_param if isinstance(item, cst.Param) else item.whitespace_after_arg


def _with_after(item: Item, gap: cst.BaseParenthesizableWhitespace) -> Item:
    name = "whitespace_after_param" if isinstance(item, cst.Param) else "whitespace_after_arg"
    return item.with_changes(**{name: gap})
