"""Which lines of a text look like a definition, and where can its body be cut out?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_HEADER_END = re.compile(r":[ \t]*(?:#[^\n]*)?\n")
# Lines on which the statements of a module begin, the kind of a definition first.
MARGIN = re.compile(r"^(?:(class|def|async def) |[^\s#)\]}])", re.MULTILINE)
_PAIRS = ("()", "[]", "{}")
_DOUBLE, _SINGLE = '"""', "'''"


class Stub(Struct, frozen=True):
    """Lines that look like one definition, and where its body was cut out."""

    start: int  # offset in the text
    end: int
    row: int
    colon: int  # offset behind the header's colon


def members_at(indent: int) -> re.Pattern[str]:
    """The lines on which the statements of a class begin."""
    return re.compile(rf"^ {{{indent}}}(?:(def|async def) |[^\s#)\]}}])", re.MULTILINE)


def stubs_of(text: str, lines: re.Pattern[str], start: int, end: int, row: int) -> Iterator[Stub]:
    """What looks like definitions among the statements that begin on these lines."""
    counted, kind, begun = start, "", start
    for found in [*lines.finditer(text, start, end), None]:
        if kind and (cut := _header_end(text[begun : (stop := found.start() if found else end)], 0)):
            colon = begun + cut
            if _is_closed(text[colon:stop]):
                row += text.count("\n", counted, begun)
                counted = begun
                yield Stub(begun, stop, row, colon)
        if found is not None:
            kind = found[1] or ""
            begun = found.start(1) if kind else found.start()


def _header_end(chunk: str, start: int) -> int:
    """The offset behind the colon that ends a definition's header; 0 where it has a body on its line."""
    for found in _HEADER_END.finditer(chunk, start):
        header = chunk[: found.start()]
        if all(header.count(pair[0]) == header.count(pair[1]) for pair in _PAIRS):
            return found.start() + 1
    return 0


def _is_closed(body: str) -> bool:
    """Is no string and no line left half behind when this is cut out?"""
    even = body.count(_DOUBLE) % 2 == 0 and body.count(_SINGLE) % 2 == 0
    return even and not body.rstrip().endswith("\\")
