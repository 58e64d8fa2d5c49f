"""What does a notebook say as one module, and which cell does a row of it stand in?

Its code cells are joined in order. What only IPython understands (magics, shell lines, help) becomes a statement that
does nothing, row for row, so that a row of the module is a row of its cell. Cells are counted from 0, as in the file's
own list of cells.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ga_lint.errors import SourceError
from ga_lint.source import Position, SourceFile, Span

SUFFIX = ".ipynb"
# Cell magics of which the body is Python of this notebook; those of any other are another language or program.
_PYTHON_BODY = ("time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "python3", "python", "heat")
_LANGUAGES = ("", "python", "python3", "ipython")
_ASSIGNED = re.compile(r"(?P<left>[ \t]*[\w.,\[\]'\" ]+=[ \t]*)[!%][^=]")
_ESCAPED = re.compile(r"(?P<indent>[ \t]*)(?:[!%]|\?|[\w.]+\?{1,2}[ \t]*$)")


@dataclass(frozen=True, slots=True)
class Broken:
    """A cell that is no Python, and why."""

    message: str
    position: Position  # in the module


@dataclass(frozen=True)
class NotebookSource(SourceFile):
    """A notebook's code as one module; `data` holds the bytes of that text, not of the file."""

    cells: tuple[tuple[int, int], ...] = ()  # the first row of each code cell, and its number
    broken: tuple[Broken, ...] = ()  # cells that were left out

    def cell_of(self, row: int) -> tuple[int, int]:
        """The number of the cell that the row stands in, and the rows of the module before it."""
        first, number = self.cells[max(bisect_right([first for first, _ in self.cells], row) - 1, 0)]
        return number, first - 1

    def in_cell(self, span: Span) -> tuple[int, Span]:
        """The cell's number and the span as it stands in there."""
        number, before = self.cell_of(span.start.row)
        start, end = span.start, span.end
        return number, Span(Position(start.row - before, start.column), Position(end.row - before, end.column))


def read_notebook(path: Path, data: bytes) -> NotebookSource:
    """The notebook as one module; SourceError where the file is none."""
    rows: list[str] = []
    cells: list[tuple[int, int]] = []
    broken: list[Broken] = []
    for number, text in _code_cells(data):
        cells.append((len(rows) + 1, number))
        lines, fault = _as_python(text)
        if fault is not None:
            broken.append(Broken(fault.msg, Position(len(rows) + (fault.lineno or 1), max(fault.offset or 1, 1))))
        rows.extend(lines)
    text = "".join(f"{row}\n" for row in rows)
    return NotebookSource(path, text.encode(), text, "utf-8", False, tuple(cells) or ((1, 0),), tuple(broken))


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
        text = text.encode("utf-8", "replace").decode()  # JSON can escape half of a surrogate pair
        yield number, text.replace("\r\n", "\n").replace("\r", "\n")


def _language(notebook: Mapping[str, object]) -> str:
    """The language that the notebook is written in, "" where it does not say."""
    metadata = notebook.get("metadata")
    for key, field in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(part, dict) and isinstance(part.get(field), str):
            return str(part[field]).lower()
    return ""


def _as_python(text: str) -> tuple[list[str], SyntaxError | None]:
    """The cell's rows, changed only where IPython's own syntax stands; blank rows and the reason if it is no Python."""
    rows = text.split("\n")
    if rows[-1] == "":
        rows.pop()
    if _fault(text) is None:
        return rows, None
    head = next((row.strip() for row in rows if row.strip()), "")
    if head.startswith("%%") and head[2:].partition(" ")[0] not in _PYTHON_BODY:
        return [""] * len(rows), None
    changed = _without_escapes(_dedented(rows))
    fault = _fault("\n".join(changed))
    return (changed, None) if fault is None else ([""] * len(rows), fault)


def _dedented(rows: list[str]) -> list[str]:
    """IPython takes the first row's indentation from all rows."""
    first = next((row for row in rows if row.strip()), "")
    margin = first[: len(first) - len(first.lstrip())]
    return [row.removeprefix(margin) for row in rows]


def _fault(text: str) -> SyntaxError | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError) as error:
        return SyntaxError(str(error))
    return None


def _without_escapes(rows: list[str]) -> list[str]:
    """IPython's lines as `pass`, with what a backslash continues; assigned results as None."""
    changed: list[str] = []
    continued = False
    for row in rows:
        if continued:
            continued = row.rstrip().endswith("\\")
            changed.append("")
        elif found := _ESCAPED.match(row):
            continued = row.rstrip().endswith("\\")
            changed.append(f"{found['indent']}pass")
        elif found := _ASSIGNED.match(row):
            changed.append(f"{found['left']}None")
        else:
            changed.append(row)
    return changed
