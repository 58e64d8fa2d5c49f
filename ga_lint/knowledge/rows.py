"""How does an entry of a TOML table become a row? What is wrong with one is an error with its file and place."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from typing import TypeVar, get_args, get_type_hints

from msgspec import Struct

from ga_lint.errors import UsageError

Row = TypeVar("Row", bound=Struct)


def row_of(kind: type[Row], entry: Mapping[str, object], place: str) -> Row:
    """The entry as a row; UsageError for a key or a word that it does not know, or lacks."""
    words = _words(kind)
    values: dict[str, object] = {}
    for key, value in entry.items():
        if key not in kind.__struct_fields__:
            raise UsageError(f"{place}: unknown key {key!r}; known: {', '.join(sorted(kind.__struct_fields__))}")
        known = {word.value: word for word in words.get(key, ())}
        if known and value not in known:
            raise UsageError(f"{place}: {key} must be one of {', '.join(known)}")
        values[key] = known.get(value, value)
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{place}: {error}") from None


@functools.cache
def _words(kind: type[Struct]) -> Mapping[str, type[enum.Enum]]:
    """The fields that hold one of a few words, with those."""
    hints = {name: (hint, *get_args(hint)) for name, hint in get_type_hints(kind).items()}
    return {
        name: one
        for name, parts in hints.items()
        for one in parts
        if isinstance(one, type) and issubclass(one, enum.Enum)
    }
