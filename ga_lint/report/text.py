"""How is a piece of the user's text shown safely and in its columns?"""

from __future__ import annotations

import posixpath
import re
import textwrap
import unicodedata
from pathlib import PurePath

from ga_lint.diagnostics import Diagnostic

# Control characters, and those that reorder what follows: a path or a line must not act on the terminal.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_LEAST = 24  # columns of a text, however narrow the terminal


def shown(text: object) -> str:
    """The text with everything escaped that a terminal would obey instead of show."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), str(text))


def shown_lines(text: str) -> str:
    """Text of several lines: each as `shown`, and the line ends kept."""
    return "\n".join(map(shown, text.split("\n")))


def repository_path(path: PurePath, below: str) -> str:
    """The path as CI wants it: from the repository's root, with `/`, without `./`."""
    return posixpath.normpath(posixpath.join(below, path.as_posix()))


def in_cell(diagnostic: Diagnostic) -> str:
    """`cell 3, row 4: ` where the file's own rows are not those of the finding: in a notebook they are JSON's."""
    return "" if diagnostic.cell is None else f"cell {diagnostic.cell}, row {diagnostic.finding.span.start.row}: "


def shown_line(line: str) -> str:
    """A source line: tabs as four columns, the rest as `shown`."""
    return shown(line.replace("\t", "    "))


def width(text: str) -> int:
    """How many terminal cells the text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrapped(text: str, columns: int, indent: int = 2) -> list[str]:
    """The text in lines of at most so many columns where its words allow it, each behind an indent."""
    room = max(columns - indent, _LEAST)
    return [" " * indent + line for line in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)]
