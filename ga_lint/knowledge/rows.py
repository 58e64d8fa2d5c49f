"""How does an entry of a TOML table become a row? What is wrong with one is an error with its file and place."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Mapping
from typing import TypeVar, get_args, get_type_hints

from ga_lint.errors import UsageError

Row = TypeVar("Row")


def row_of(kind: type[Row], entry: Mapping[str, object], place: str) -> Row:
    """The entry as a frozen dataclass; UsageError for a key or a word that it does not know, or lacks."""
    fields = sorted(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    words: Mapping[str, type[enum.Enum]] = _words(kind)  # type: ignore[arg-type]  # a class is hashable
    values: dict[str, object] = {}
    for key, value in entry.items():
        if key not in fields:
            raise UsageError(f"{place}: unknown key {key!r}; known: {', '.join(fields)}")
        known = {word.value: word for word in words.get(key, ())}
        if known and value not in known:
            raise UsageError(f"{place}: {key} must be one of {', '.join(known)}")
        values[key] = known.get(value, value)
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{place}: {error}") from None


@functools.cache
def _words(kind: type[object]) -> Mapping[str, type[enum.Enum]]:
    """The fields that hold one of a few words, with those."""
    hints = {name: (hint, *get_args(hint)) for name, hint in get_type_hints(kind).items()}
    return {
        name: one
        for name, parts in hints.items()
        for one in parts
        if isinstance(one, type) and issubclass(one, enum.Enum)
    }
