"""What does the file say, and how must it be written back? Bytes in, text out; no trees here."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from ga_lint.errors import FixNotApplicable, SourceError

UTF8_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
# PEP 263: a coding line counts on line 1 or 2, and on line 2 only below a blank line or a comment.
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLANK_OR_COMMENT = re.compile(rb"^[ \t\f]*(?:#.*)?$")
# The line ends of Python's own tokenizer. str.splitlines() knows eight more, all wrong here.
_LINE_END = re.compile(r"\r\n|\r|\n")


class Position(Struct, frozen=True, order=True):
    """A place in a text: row and column, both 1-based, columns in code points."""

    row: int
    column: int


class Span(Struct, frozen=True, order=True):
    """From `start` up to, not including, `end`."""

    start: Position
    end: Position

    def contains(self, other: Span) -> bool:
        return self.start <= other.start and other.end <= self.end


def cell_prefix(cell: int | None) -> str:
    """What stands before a row that is counted in a cell of a notebook: `cell 3:`; nothing in a script."""
    return "" if cell is None else f"cell {cell}:"


class Edit(Struct, frozen=True):
    """Replace what stands in `span` by `text`."""

    span: Span
    text: str
    cell: int | None = None  # of a notebook, where the rows are rows of this cell


class Part(Struct, frozen=True):
    """What of a file is run as one: the whole of a script, a cell of a notebook.

    `rows` are those of the file's text, which holds `code`; `shown` is what the user wrote there. They differ where a
    notebook's lines are no Python.
    """

    cell: int | None
    rows: range
    code: str
    shown: str
    is_open: bool = True  # whether new statements may go to its top and its end

    @property
    def rows_above(self) -> int:
        """How many rows of the file's text stand above it."""
        return self.rows.start - 1


@contextlib.contextmanager
def unremarked() -> Iterator[None]:
    """Python warns of invalid escapes and the like when it parses: in the user's text they are the user's to lint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class SourceFile(Struct, frozen=True, dict=True):
    """One file as it was read: `text` holds every character of it except the byte-order mark."""

    path: Path
    data: bytes
    text: str
    encoding: str
    has_bom: bool

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their ends; a final newline adds no empty line."""
        lines = _LINE_END.split(self.text) if "\r" in self.text else self.text.split("\n")
        if lines[-1] == "":
            lines.pop()
        return lines

    def ended_lines(self) -> list[str]:
        return ended_lines(self.text)

    @cached_property
    def newline(self) -> str:
        """The first line end of the file, for text that is inserted."""
        found = _LINE_END.search(self.text)
        return found.group() if found else "\n"

    @property
    def on_disk(self) -> bytes:
        """The bytes of the whole file; those of a notebook hold more than its text."""
        return self.data

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What is run as one each, in order."""
        return (Part(None, range(1, len(self.lines) + 1), self.text, self.text),)

    def part_of(self, row: int) -> Part:
        """The part that this row of the text belongs to."""
        return self.parts[max(bisect_right(self.parts, row, key=lambda part: part.rows.start) - 1, 0)]

    @property
    def unread(self) -> str:
        """Text in which names may occur although it is no Python."""
        return ""

    def encode(self, text: str) -> bytes:
        """`text` as the bytes of this file: same encoding, same byte-order mark."""
        return (UTF8_BOM if self.has_bom else b"") + text.encode(self.encoding)

    def rewritten(self, text: str) -> SourceFile:
        """This file with another text; FixNotApplicable where its encoding does not hold that."""
        try:
            data = self.encode(text)
            same = decode(self.path, data).encoding == decode(self.path, self.data).encoding
        except (UnicodeEncodeError, SourceError):
            same = False
        if not same:
            raise FixNotApplicable(f"the rewrite cannot be written in {self.encoding}")
        return SourceFile(self.path, data, text, self.encoding, self.has_bom)


def ended_lines(text: str) -> list[str]:
    """The lines with their ends; unlike `str.splitlines`, only where Python's tokenizer ends a line."""
    return io.StringIO(text, newline="").readlines()


def read_bytes(path: Path) -> bytes:
    """The file's bytes, or a SourceError that says why there are none."""
    try:
        if path.exists() and not path.is_file():
            raise SourceError("not a regular file")
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError("no such file") from None
    except PermissionError:
        raise SourceError("permission denied; make it readable or exclude it") from None
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}") from None


def decode(path: Path, data: bytes) -> SourceFile:
    """Decode as Python does: UTF-8 unless a coding line on the first two lines says otherwise."""
    if b"\0" in data:
        kind = next((name for bom, name in _OTHER_BOMS if data.startswith(bom)), None)
        raise SourceError(f"{kind} text; Python reads UTF-8, convert it" if kind else "binary file (null bytes)")
    has_bom = data.startswith(UTF8_BOM)
    body = data[len(UTF8_BOM) :] if has_bom else data
    declared = _declared_encoding(body)
    if has_bom and declared is not None and declared.lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise SourceError(f"a UTF-8 byte-order mark and a coding line that says {declared!r}; remove one")
    encoding = declared or "utf-8"
    try:
        text = body.decode(encoding)
    except LookupError:
        raise SourceError(f"unknown encoding {encoding!r} in its coding line") from None
    except UnicodeError as error:  # that of some codecs says no place, or one in a part of the text
        exact = isinstance(error, UnicodeDecodeError) and error.object == body
        row = body.count(b"\n", 0, error.start) + 1 if exact else 1  # type: ignore[attr-defined]
        raise SourceError(
            f"line {row} is not {encoding}; save it as UTF-8 or declare its encoding on the first line"
        ) from None
    return SourceFile(path, data, text, encoding, has_bom)


def read_source(path: Path) -> SourceFile:
    """Read and decode one file; SourceError when that cannot be done."""
    return decode(path, read_bytes(path))


def _declared_encoding(body: bytes) -> str | None:
    first, _, rest = body.partition(b"\n")
    second = rest.partition(b"\n")[0]
    found = _CODING.match(first)
    if found is None and _BLANK_OR_COMMENT.match(first.rstrip(b"\r")):
        found = _CODING.match(second)
    return found.group(1).decode("ascii", "replace") if found else None
