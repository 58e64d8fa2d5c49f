"""What else did a look at a file depend on? Every file and folder that was asked for, also those that are not there.

Whoever answers from memory tells once more what the answer came from: see `remembered`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")
EVERYTHING = "*"  # every text of the project: a word was looked for in all of them
TEXTS = (".py", ".yaml", ".yml")  # what those texts are called
_trails: list[set[str]] = []  # of whoever records, innermost last


@contextlib.contextmanager
def recording() -> Iterator[set[str]]:
    """The places that are asked for meanwhile; an outer recording has them too."""
    places: set[str] = set()
    _trails.append(places)
    try:
        yield places
    finally:
        _trails.pop()
        note(places)


def note(places: Iterable[str]) -> None:
    """These were looked at."""
    if _trails:
        _trails[-1].update(places)


def note_path(path: Path) -> None:
    """This file or folder was looked at, or looked for."""
    if _trails:
        _trails[-1].add(os.fspath(path))


def remembered(table: dict[Key, tuple[Answer, frozenset[str]]], key: Key, answer: Callable[[], Answer]) -> Answer:
    """The answer that the table has, or a new one, and a note of the places that it came from."""
    if key not in table:
        with recording() as places:
            found = answer()
        table[key] = found, frozenset(places)
    found, known = table[key]
    note(known)
    return found
