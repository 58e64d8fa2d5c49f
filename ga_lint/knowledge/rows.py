"""How does an entry of a TOML table become a row? What is wrong with one is an error with its file and place."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from typing import TypeVar, get_args, get_type_hints

from ga_lint.errors import UsageError

Row = TypeVar("Row")


def row_of(kind: type[Row], entry: Mapping[str, object], place: str) -> Row:
    """The entry as a row of that class; UsageError for a key or a word that it does not know, or lacks."""
    words: Mapping[str, type[enum.Enum] | None] = _words(kind)  # type: ignore[arg-type]  # a class is hashable
    values: dict[str, object] = {}
    for key, value in entry.items():
        if key not in words:
            raise UsageError(f"{place}: unknown key {key!r}; known: {', '.join(sorted(words))}")
        known = {word.value: word for word in words[key] or ()}
        if known and value not in known:
            raise UsageError(f"{place}: {key} must be one of {', '.join(known)}")
        values[key] = known.get(value, value)
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{place}: {error}") from None


@functools.cache
def _words(kind: type[object]) -> Mapping[str, type[enum.Enum] | None]:
    """The fields of a row; for one that holds one of a few words, those."""
    return {name: _enumeration((hint, *get_args(hint))) for name, hint in get_type_hints(kind).items()}


def _enumeration(types: tuple[object, ...]) -> type[enum.Enum] | None:
    return next((one for one in types if isinstance(one, type) and issubclass(one, enum.Enum)), None)
