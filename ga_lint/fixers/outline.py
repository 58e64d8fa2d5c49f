"""How little of a long file must LibCST read? The functions that a request names, and the outline of all others.

LibCST takes a hundred times as long for a line as `ast` does. So a body that holds none of the places is cut out of the
text before it is parsed: a string that is as long stands for it, so that every place stays where it is. It is filled in
again when the tree is written. Whoever looks into it, by any way that leads through the tree, gets `CutShort`, and
begins again with the whole file: a fixer need not know about this.
"""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import libcst as cst
from msgspec import Struct

from ga_lint.source import ended_lines, unremarked

_QUOTES = '"""'
_MARK = f"{_QUOTES}cut out at row "
_AROUND = ("header", "indent", "footer")
_FEW_ROWS = 4  # of a body, that are read as fast as they are cut out


class CutShort(Exception):
    """A fixer looked into a body that was cut out."""


class Outline(Struct, frozen=True):
    """A text to be parsed for another; `bodies` holds what was cut out, by the string that stands for it."""

    text: str
    bodies: dict[str, str]

    def filled(self, written: str) -> str:
        """What LibCST wrote, with every body again; CutShort where one has no place in it."""
        for mark, body in self.bodies.items():
            before, found, after = written.partition(mark)
            if not found:
                raise CutShort
            written = f"{before}{body}{after}"
        return written


class CutBlock(cst.IndentedBlock):
    """The body of a function that is not read."""

    plain: cst.IndentedBlock  # with the string that stands for it

    @classmethod
    def of(cls, plain: cst.IndentedBlock) -> CutBlock:
        block = object.__new__(cls)  # LibCST's own constructor would set the body
        for name, value in (("plain", plain), *((name, getattr(plain, name)) for name in _AROUND)):
            object.__setattr__(block, name, value)
        return block

    @property
    def body(self) -> Sequence[cst.BaseStatement]:  # type: ignore[override]
        raise CutShort

    def _codegen_impl(self, state: Any) -> None:
        self.plain._codegen(state)


def refuse_marks(code: str) -> str:
    """A piece of code that LibCST wrote; CutShort where a body is missing in it."""
    if _MARK in code:
        raise CutShort
    return code


def outline_of(text: str, rows: Iterable[int]) -> Outline:
    """The text without the bodies of the functions and methods that hold none of these rows."""
    whole = Outline(text, {})
    try:
        with unremarked():
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return whole
    if _MARK in text:
        return whole
    lines, wanted, bodies = ended_lines(text), sorted(rows), dict[str, str]()
    for function in _functions(tree.body):
        first, last = function.body[0], function.body[-1]
        start, end = _first_row(first), last.end_lineno or first.lineno
        if bisect_left(wanted, _first_row(function)) == bisect_right(wanted, end) and end - start >= _FEW_ROWS:
            width = len(lines[end - 1].encode()[: last.end_col_offset].decode())
            if width >= len(_QUOTES) and not lines[start - 1].encode()[: first.col_offset].strip():
                _cut(lines, (start, first.col_offset), (end, width), bodies)
    return Outline("".join(lines), bodies)


def _first_row(statement: ast.stmt) -> int:
    """That of its first decorator, if it has one."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(one.lineno for one in decorators)])


def _functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Those of the module and of its classes."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        elif isinstance(statement, ast.ClassDef):
            yield from _functions(statement.body)


def _cut(lines: list[str], start: tuple[int, int], end: tuple[int, int], bodies: dict[str, str]) -> None:
    """A string from the start to the end, both as row and characters before it, in place of what stands there."""
    (first, indent), (last, width) = start, end
    old = [lines[first - 1][indent:], *lines[first : last - 1], lines[last - 1][:width]]
    ends = [line[len(line.rstrip("\r\n")) :] for line in old[:-1]]
    new = [f"{_MARK}{first}{ends[0]}", *ends[1:], " " * (width - len(_QUOTES)) + _QUOTES]
    bodies["".join(new)] = "".join(old)
    lines[first - 1] = lines[first - 1][:indent] + new[0]
    lines[last - 1] = new[-1] + lines[last - 1][width:]
    lines[first : last - 1] = new[1:-1]


def close(module: cst.Module, bodies: dict[str, str]) -> None:
    """Let nobody read in the functions from which these were cut out."""
    found = dict[cst.FunctionDef, CutBlock]()
    todo = list[cst.CSTNode](module.body)
    while todo:
        node = todo.pop()
        if isinstance(node, cst.ClassDef):
            todo += node.body.body
        elif isinstance(node, cst.FunctionDef) and _is_mark(node.body, bodies):
            assert isinstance(node.body, cst.IndentedBlock)
            found[node] = CutBlock.of(node.body)
    if len(found) != len(bodies):
        raise CutShort
    for function, block in found.items():
        object.__setattr__(function, "body", block)  # every other node stays the one whose place is known


def _is_mark(body: cst.BaseSuite, bodies: dict[str, str]) -> bool:
    match body:
        case cst.IndentedBlock(body=[cst.SimpleStatementLine(body=[cst.Expr(value=cst.SimpleString(value=mark))])]):
            return mark in bodies
    return False
