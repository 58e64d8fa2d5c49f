"""Where do the cells' source strings stand in the file, and how are single rows of them replaced?

Nothing is serialised again: a row that stays is the very characters that stood there, whatever escapes they use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ga_lint.errors import FixNotApplicable, InternalError
from ga_lint.notebook.cells import Row
from ga_lint.source import UTF8_BOM

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
# Inside the quotes: where a row ends, with the way to the next string of the list if that follows; all else.
_PIECE = re.compile(
    r'(?P<end>(?:\\r|\\u000[dD])(?:\\n|\\u000[aA])|\\[rn]|\\u000[aAdD])(?P<joint>"[ \t\n\r]*,[ \t\n\r]*")?|\\.|[^\\]+',
    re.DOTALL,
)
_CHARACTER = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|[^\"]|\"[ \t\n\r]*,[ \t\n\r]*\"", re.DOTALL)
_ESCAPED = re.compile(r"\\u(?!00[0-7])[0-9a-fA-F]{4}")


class NotebookText:
    """The text of a notebook's file."""

    def __init__(self, data: bytes) -> None:
        self._bom = UTF8_BOM if data.startswith(UTF8_BOM) else b""
        try:
            self._text = data[len(self._bom) :].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise FixNotApplicable("the notebook is not written in UTF-8") from None

    def patched(self, changes: Mapping[int, Sequence[Row]]) -> bytes:
        """The file with other rows in these cells, proved to be the same everywhere else."""
        values = dict(_sources(self._text))
        new, kept, last = "", [], 0
        for start, end, number in sorted((*values[number], number) for number in changes):
            kept.append((last, start, len(new)))
            new += self._text[last:start] + self._source(start, end, number).with_rows(changes[number])
            last = end
        kept.append((last, len(self._text), len(new)))
        new += self._text[last:]
        self._prove(new, kept, set(changes))
        return self._bom + new.encode("utf-8", "surrogatepass")

    def _source(self, start: int, end: int, number: int) -> _Source:
        value = self._text[start:end]
        strings = list(_items(value, 0)) if value.startswith("[") else [(0, len(value))]
        if not strings or any(value[first] != '"' for first, _ in strings):
            raise FixNotApplicable(f"the source of cell {number} is no text")
        before, after = strings[0][0] + 1, strings[-1][1] - 1
        source = _Source(
            value[:before], value[before:after], value[after:], self._is_ascii, self._text[start - 1] == " "
        )
        if not source.is_text:
            raise FixNotApplicable(f"cell {number} holds half of a surrogate pair")
        return source

    @property
    def _is_ascii(self) -> bool:
        """Whether what is beyond ASCII is escaped in this file."""
        return self._text.isascii() and _ESCAPED.search(self._text) is not None

    def _prove(self, new: str, kept: Sequence[tuple[int, int, int]], changed: set[int]) -> None:
        """Outside of the patched values every character is there, and the JSON is the same but for them."""
        same = all(self._text[start:end] == new[at : at + end - start] for start, end, at in kept)
        if not same or _without_sources(self._text, changed) != _without_sources(new, changed):
            raise InternalError("the patched notebook differs outside of the changed cells")


class _RawRow(Struct, frozen=True):
    """A row as the file has it: its characters, its end, and the way to the next string of the list."""

    body: str
    end: str = ""
    joint: str = ""


class _Source(Struct, frozen=True):
    """The value of a cell's `source`: what is before the first quote's inside, between, and behind the last."""

    opening: str
    inside: str
    closing: str
    is_ascii: bool  # how the file writes what this cell does not show
    is_spaced: bool

    @property
    def is_text(self) -> bool:
        return not any("\ud800" <= character <= "\udfff" for character in self._spelling())

    def with_rows(self, rows: Sequence[Row]) -> str:
        """The value with these rows: indices of its own, and texts of new ones."""
        old = self._rows()
        if not rows:
            return f"{self.opening[:1]}]" if self.is_list else '""'
        spelling = self._spelling()
        end = next((row.end for row in old if row.end), r"\n")
        joint = self._joint(old)
        written = ""
        for row in rows[:-1]:
            raw = old[row] if isinstance(row, int) else _RawRow(self._spelled(row, spelling), end, joint)
            was_last = row == len(old) - 1
            written += raw.body + (raw.end or end) + (raw.joint or joint if was_last else raw.joint)
        final = rows[-1]
        if final == len(old) - 1:
            written += old[-1].body + old[-1].end + old[-1].joint
        else:
            raw = old[final] if isinstance(final, int) else _RawRow(self._spelled(final, spelling))
            written += raw.body + ((raw.end or end) if old[-1].end else "")
        return self.opening + written + self.closing

    @property
    def is_list(self) -> bool:
        return self.opening.startswith("[")

    def _rows(self) -> list[_RawRow]:
        rows, start = [], 0
        for piece in _PIECE.finditer(self.inside):
            if piece["end"]:
                rows.append(_RawRow(self.inside[start : piece.start()], piece["end"], piece["joint"] or ""))
                start = piece.end()
        rest = self.inside[start:]
        return [*rows, _RawRow(rest)] if rest else rows

    def _joint(self, rows: Sequence[_RawRow]) -> str:
        """What stands between two strings of the list; nothing where all rows are in one string."""
        if not self.is_list or (len(rows) > 1 and not any(row.joint for row in rows)):
            return ""
        blank = self.opening[1:-1]
        if not blank and self.is_spaced:
            blank = " "
        return next((row.joint for row in rows if row.joint), f'",{blank}"')

    def _spelling(self) -> dict[str, str]:
        """How this cell writes each character; the last time that it does."""
        found = {}
        for each in _CHARACTER.finditer(self.inside):
            text = each.group()
            if not text.startswith('"'):
                found[text if text[0] != "\\" else str(json.loads(f'"{text}"'))] = text
        return found

    def _spelled(self, row: str, spelling: Mapping[str, str]) -> str:
        wide = [text for character, text in spelling.items() if not character.isascii()]
        is_ascii = all(text.isascii() for text in wide) if wide else self.is_ascii
        plain = {each: json.dumps(each, ensure_ascii=is_ascii)[1:-1] for each in set(row)}
        return "".join(spelling.get(each, plain[each]) for each in row)


def _sources(text: str) -> Iterator[tuple[int, tuple[int, int]]]:
    """The numbers of all cells that have a source, and where its value stands."""
    notebook = {key: start for key, start, _ in _members(text, _skip(text, 0))}  # of equal keys the last counts
    for number, (start, _) in enumerate(_items(text, notebook["cells"])):
        if text[start] == "{":
            cell = {key: (first, last) for key, first, last in _members(text, start)}
            if "source" in cell:
                yield number, cell["source"]


def _members(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """The keys of the object that starts here, and where their values stand."""
    at = _skip(text, start + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        first = _skip(text, _skip(text, at) + 1)
        _, last = _DECODER.raw_decode(text, first)
        yield key, first, last
        at = _next(text, last)


def _items(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where the items of the list that starts here stand."""
    at = _skip(text, start + 1)
    while text[at] != "]":
        _, last = _DECODER.raw_decode(text, at)
        yield at, last
        at = _next(text, last)


def _next(text: str, at: int) -> int:
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _without_sources(text: str, numbers: set[int]) -> Any:
    """The document without these cells' sources; keys in order, numbers as they are written."""
    document = json.loads(
        text, object_pairs_hook=list, parse_float=str, parse_int=str, parse_constant=str
    )  # pairs, so that equal keys count
    cells = [value for key, value in document if key == "cells"][-1]
    for number in numbers:
        cell = cells[number]
        last = max(index for index, (key, _) in enumerate(cell) if key == "source")
        cell[last] = ("source", type(cell[last][1]).__name__)
    return document
