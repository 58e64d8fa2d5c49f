"""Which rows does the statement around a place cover? A comment on any of them speaks of that statement."""

from __future__ import annotations

import ast
import copy
from bisect import bisect_right
from collections.abc import Sequence

from msgspec import Struct

from ga_lint.source import SourceFile

_BLOCKS = ("body", "orelse", "finalbody")
_PARTS = ("handlers", "cases")  # that are no statements, but hold blocks


class Statement(Struct, frozen=True):
    """A simple statement, or the header of a compound one: decorators up to the colon."""

    first_row: int
    last_row: int
    text: str  # on one line, without comments and the user's layout

    @property
    def rows(self) -> range:
        return range(self.first_row, self.last_row + 1)


def statement_at(source: SourceFile, tree: ast.Module | None, row: int) -> Statement:
    """The innermost statement on this row; the row alone where there is no tree or no statement (an `else:`)."""
    nodes = [] if tree is None else _around(tree, row)
    candidates = [(_rows(source, node), node) for node in nodes]
    around = [(last - first, first, node, last) for (first, last), node in candidates if first <= row <= last]
    if not around:
        line = source.lines[row - 1] if row <= len(source.lines) else ""
        return Statement(row, row, " ".join(line.split()))
    _, first, node, last = min(around, key=lambda found: found[0])
    return Statement(first, last, _first_line(node))


def _first_line(node: ast.stmt) -> str:
    """The statement as `ast` writes it; of a compound one the header, without its decorators."""
    header = copy.copy(node)
    if isinstance(getattr(node, "body", None), list):
        header.body = [ast.Pass()]  # type: ignore[attr-defined]
        for rest in ("orelse", "finalbody", "handlers", "decorator_list"):
            if hasattr(node, rest):
                setattr(header, rest, [])
    return ast.unparse(header).partition("\n")[0]


def _around(tree: ast.Module, row: int) -> list[ast.stmt]:
    """The statements whose whole text covers the row, found by going down the blocks."""
    found: list[ast.stmt] = []
    todo: list[ast.AST] = list(_last_begun(tree.body, row))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            if not _first_row(node) <= row <= (node.end_lineno or node.lineno):
                continue
            found.append(node)
        for block in _BLOCKS:
            inner = getattr(node, block, ())
            todo.extend(_last_begun(inner, row) if isinstance(inner, list) else ())
        for block in _PARTS:
            todo.extend(getattr(node, block, ()))
    return found


def _last_begun(block: Sequence[ast.stmt], row: int) -> Sequence[ast.stmt]:
    """Of the statements of a block those that may cover the row: where the next one has begun, this one has ended."""
    count = bisect_right(block, row, key=_first_row)
    first = count - 1
    while first > 0 and _first_row(block[first - 1]) == _first_row(block[count - 1]):
        first -= 1  # several on one row
    if first > 0 and _first_row(block[first]) == row:
        first -= 1  # the one before may end there
    return block[max(first, 0) : count]


def is_blank_or_comment(line: str) -> bool:
    return not (text := line.strip()) or text.startswith("#")


def _rows(source: SourceFile, node: ast.stmt) -> tuple[int, int]:
    first = _first_row(node)
    last = node.end_lineno or node.lineno
    match node:
        case ast.Match(cases=[case, *_]):
            last = case.pattern.lineno - 1
        case _ if body := getattr(node, "body", None):
            last = _first_row(body[0]) - 1
    last = max(last, node.lineno)
    while last > node.lineno and is_blank_or_comment(source.lines[last - 1]):
        last -= 1
    return first, last


def _first_row(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
