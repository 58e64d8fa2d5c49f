"""What does a notebook say as one module, and which cell does a row of it stand in?

Its code cells are joined in order. What only IPython understands (magics, shell lines, help) becomes a statement that
does nothing, row for row, so that a row of the module is a row of its cell. Each of these statements carries a comment
of its own, so that a rewritten module still says which of the user's lines it stands for. Cells are counted from 0, as
in the file's own list of cells.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from ga_lint.errors import SourceError
from ga_lint.grammar import tree_of
from ga_lint.source import Part, Position, SourceFile, Span, decode

SUFFIX = ".ipynb"
MARK = "#ipython:"  # and a number: what stands here is not what the user wrote
_LINE_END = re.compile(r"\r\n|\r|\n")
# Cell magics of which the body is Python of this notebook; those of any other are another language or program.
_PYTHON_BODY = ("time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "python3", "python", "heat")
_LANGUAGES = ("", "python", "python3", "ipython")
_ASSIGNED = re.compile(r"(?P<left>[ \t]*[\w.,\[\]'\" ]+=[ \t]*)[!%][^=]")
_ESCAPED = re.compile(r"(?P<indent>[ \t]*)(?:[!%]|\?|[\w.]+\?{1,2}[ \t]*$)")


class Broken(Struct, frozen=True):
    """A cell that is no Python, and why."""

    message: str
    position: Position  # in the module


class Cell(Part, frozen=True):
    """A code cell. What IPython takes from the start of all its rows is its `margin`."""

    margin: str = ""
    hidden: frozenset[int] = frozenset()  # rows of the module that stand for something else, in this cell


class NotebookSource(SourceFile, frozen=True, dict=True):
    """A notebook's code as one module; `data` holds the bytes of that text, `file` those of the notebook."""

    file: bytes = b""
    cells: tuple[Cell, ...] = ()
    broken: tuple[Broken, ...] = ()  # cells that were left out

    @property
    def on_disk(self) -> bytes:
        return self.file

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return self.cells

    @cached_property
    def unread(self) -> str:
        lines = []
        for cell in self.cells:
            shown = rows_of(cell.shown)
            lines += [shown[row - cell.rows.start] for row in sorted(cell.hidden)]
        return "\n".join(lines)

    def rewritten(self, text: str) -> NotebookSource:
        """This notebook with another module in its cells; FixNotApplicable where they cannot take it."""
        from ga_lint.notebook.rewrite import rewritten  # most runs need none of it

        return read_notebook(self.path, rewritten(self, text))

    def in_cell(self, span: Span) -> tuple[int, Span]:
        """The cell's number and the span as it stands in there."""
        part = self.part_of(span.start.row)
        start, end, above = span.start, span.end, part.rows_above
        return part.cell or 0, Span(Position(start.row - above, start.column), Position(end.row - above, end.column))


def read_text(path: Path, data: bytes) -> SourceFile:
    """A script or a notebook, by its name; SourceError where its bytes are none."""
    return read_notebook(path, data) if path.suffix == SUFFIX else decode(path, data)


def read_notebook(path: Path, data: bytes) -> NotebookSource:
    """The notebook as one module; SourceError where the file is none."""
    rows: list[str] = []
    cells: list[Cell] = []
    broken: list[Broken] = []
    hidden = itertools.count()
    for number, shown in _code_cells(data):
        first = len(rows) + 1
        read = _as_python(_without_space_at_end(rows_of(shown)), hidden)
        if read.fault is not None:
            row, column = read.fault.lineno or 1, max(read.fault.offset or 1, 1)
            broken.append(Broken(read.fault.msg, Position(len(rows) + row, column)))
        rows.extend(read.rows)
        code = "".join(f"{row}\n" for row in read.rows)
        places = frozenset(first + row for row in read.hidden)
        where = range(first, len(rows) + 1)
        cells.append(Cell(number, where, code, shown, not read.is_magic, read.margin, places))
    text = "".join(f"{row}\n" for row in rows)
    whole = tuple(cells) or (Cell(0, range(1, 1), "", ""),)
    return NotebookSource(path, text.encode(), text, "utf-8", False, data, whole, tuple(broken))


def _code_cells(data: bytes) -> Iterator[tuple[int, str]]:
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        raise SourceError("not a notebook: its JSON cannot be read") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise SourceError("not a notebook of format 4: it has no list of cells")
    if _language(notebook) not in _LANGUAGES:
        return
    for number, cell in enumerate(notebook["cells"]):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        text = "".join(str(line) for line in source) if isinstance(source, list) else str(source)
        yield number, text.encode("utf-8", "replace").decode()  # JSON can escape half of a surrogate pair


def _language(notebook: Mapping[str, object]) -> str:
    """The language that the notebook is written in, "" where it does not say."""
    metadata = notebook.get("metadata")
    for key, field in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(part, dict) and isinstance(part.get(field), str):
            return str(part[field]).lower()
    return ""


def rows_of(text: str) -> list[str]:
    """The cell's rows without their ends; a final line end adds no row."""
    rows = _LINE_END.split(text)
    if rows[-1] == "":
        rows.pop()
    return rows


def _without_space_at_end(rows: list[str]) -> list[str]:
    """White space in the last rows is nothing in Python, and more than LibCST can write back."""
    filled = next((count for count in range(len(rows), 0, -1) if rows[count - 1].strip()), 0)
    return rows[:filled] + [""] * (len(rows) - filled)


class _Read(Struct, frozen=True):
    """A cell's rows as Python; `hidden` are the indices of those that stand for something else."""

    rows: list[str]
    hidden: Collection[int] = ()
    margin: str = ""
    is_magic: bool = False  # the whole cell is an argument of its first row
    fault: SyntaxError | None = None


def _as_python(rows: list[str], count: Iterator[int]) -> _Read:
    """Changed only where IPython's own syntax stands; blank rows and the reason if it is no Python."""
    if _fault("\n".join(rows)) is None:
        return _Read(rows)
    head = next((row.strip() for row in rows if row.strip()), "")
    is_magic, blank = head.startswith("%%"), [""] * len(rows)
    if is_magic and head[2:].partition(" ")[0] not in _PYTHON_BODY:
        return _Read(blank, range(len(rows)), is_magic=True)
    margin = _margin(rows)
    changed, hidden = _without_escapes([row.removeprefix(margin) for row in rows], count)
    fault = _fault("\n".join(changed))
    if fault is not None:
        return _Read(blank, range(len(rows)), fault=fault)
    return _Read(changed, hidden, margin, is_magic)


def _margin(rows: list[str]) -> str:
    """IPython takes the first row's indentation from all rows."""
    first = next((row for row in rows if row.strip()), "")
    return first[: len(first) - len(first.lstrip())]


def _fault(text: str) -> SyntaxError | None:
    try:
        tree_of(text)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError) as error:
        return SyntaxError(str(error))
    return None


def _without_escapes(rows: list[str], count: Iterator[int]) -> tuple[list[str], list[int]]:
    """IPython's lines as `pass`, with what a backslash continues; assigned results as None. And which rows they are."""
    changed: list[str] = []
    hidden: list[int] = []
    continued = False
    for index, row in enumerate(rows):
        if continued:
            text = ""
        elif found := _ESCAPED.match(row):
            text = f"{found['indent']}pass  {MARK}{next(count)}"
        elif found := _ASSIGNED.match(row):
            text = f"{found['left']}None  {MARK}{next(count)}"
        else:
            changed.append(row)
            continue
        continued = row.rstrip().endswith("\\")
        changed.append(text)
        hidden.append(index)
    return changed, hidden
