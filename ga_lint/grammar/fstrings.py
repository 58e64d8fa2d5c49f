"""How would Python 3.11 write the f-strings of 3.12? With other quotes, or without what stands in a field.

From 3.12 on a field may hold the string's own quotes, backslashes and comments (PEP 701). Here each is written so that
the older parser takes it, at the same length: what stands around it keeps its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_OPENING = re.compile(r"#[^\n]*|(?<![^\W_])(?<!_)([A-Za-z]{0,2})(\"\"\"|'''|\"|')")
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_OTHER = {'"': "'", "'": '"'}


class _Unclosed(Exception):
    """A string or a field without an end: no Python of any release."""


class _Field(Struct, frozen=True):
    """`{...}` in an f-string: the offsets of its braces, and the strings right inside of it."""

    start: int
    end: int  # behind the brace
    strings: tuple[_String, ...]
    has_comment: bool


class _String(Struct, frozen=True):
    """A string with its fields, if it has a prefix that makes some."""

    quote: str
    start: int  # of what is quoted
    end: int
    fields: tuple[_Field, ...] = ()


def as_before_312(text: str) -> str:
    """The text as 3.11 reads it; the same where it cannot be had so: a field over several lines in single quotes."""
    out = list(text)
    try:
        for string in _strings(text, 0, len(text)):
            for field in string.fields:
                _rewrite(text, out, string.quote, field)
    except (_Unclosed, RecursionError):
        return text
    return "".join(out)


def _rewrite(text: str, out: list[str], quote: str, field: _Field) -> None:
    """In place: other quotes where that is enough, else a constant in the braces."""
    inside = text[field.start : field.end]
    if quote not in inside and "\\" not in inside and not field.has_comment:
        return
    others = _OTHER[quote[0]]
    if len(quote) == 1 and _is_of_quotes_alone(text, quote, others, field):
        for string in field.strings:
            if string.quote == quote:
                out[string.start - 1] = out[string.end] = others
    elif "\n" not in inside:
        out[field.start : field.end] = ["{", others, *map(_harmless, inside[2:-2]), others, "}"]
    elif len(quote) == 3:
        rows = "".join(char if char == "\n" else " " for char in inside[1:-1])
        out[field.start : field.end] = ["{", *rows.replace(" ", "0", 1), "}"]


def _harmless(char: str) -> str:
    """What may stand in a string in a field; it has as many bytes."""
    return char if char.isalnum() or not char.isascii() else " "


def _is_of_quotes_alone(text: str, quote: str, others: str, field: _Field) -> bool:
    """Is all well once the strings in the field have the other quotes?"""
    if "\\" in text[field.start : field.end]:
        return False
    quoted = [text[string.start : string.end] for string in field.strings]
    tripled = any(string.quote == quote * 3 for string in field.strings)
    return not tripled and not any(set(one) & {quote, others} for one in quoted)


def _strings(text: str, start: int, end: int) -> Iterator[_String]:
    """The strings of a module, one after the other."""
    while (found := _OPENING.search(text, start, end)) is not None:
        start = found.end()
        if found[2] is not None:
            string = _string(text, found)
            yield string
            start = string.end + len(string.quote)


def _string(text: str, opening: re.Match[str]) -> _String:
    """The string that is opened there."""
    quote, has_fields = opening[2], "f" in opening[1].lower()
    at, fields = opening.end(), list[_Field]()
    while not text.startswith(quote, at):
        char = text[at : at + 1]
        if not char or (char == "\n" and len(quote) == 1):
            raise _Unclosed
        if char == "\\" or (has_fields and text.startswith("{{", at)):
            at += 2
        elif has_fields and char == "{":
            fields.append(_field(text, at))
            at = fields[-1].end
        else:
            at += 1
    return _String(quote, opening.end(), at, tuple(fields))


def _field(text: str, start: int) -> _Field:
    """The field whose brace stands there: an expression, then perhaps a format with fields of its own."""
    at, depth, strings = start + 1, 0, list[_String]()
    in_format = has_comment = False
    while depth or text[at : at + 1] != "}":
        char = text[at : at + 1]
        opening = None if in_format else _OPENING.match(text, at)
        if not char:
            raise _Unclosed
        if in_format and char == "{":
            inner = _field(text, at)
            strings += inner.strings
            at = inner.end
        elif opening is not None:
            at = opening.end()
            if opening[2] is None:
                has_comment = True
            else:
                strings.append(_string(text, opening))
                at = strings[-1].end + len(opening[2])
        else:
            depth += 0 if in_format else _BRACKETS.get(char, 0)
            in_format = in_format or (char == ":" and depth == 0)
            at += 1
    return _Field(start, at + 1, tuple(strings), has_comment)
