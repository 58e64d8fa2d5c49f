"""What holds other values, each of them known or all of them alike?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.facts.values.program import UNKNOWN

if TYPE_CHECKING:
    from ga_lint.facts.values import Value


class Items(Struct, frozen=True):
    """A tuple or list of which each element is known."""

    values: tuple[Value, ...]


class Many(Struct, frozen=True):
    """A list, loader or iterator of which each element is `element`."""

    element: Value
    source: Value | None = None  # the loader it comes from
    steps: Value | None = None  # its length, where that is the window's
    loop: int = 0  # id of the loop that puts one element in each round


MAX_FILLED = 1_000  # entries of a table that is still put into


class Table(Struct, frozen=True):
    """A dictionary, or an object with attributes, with known entries; `rest` stands for all others."""

    entries: tuple[tuple[str, Value], ...]
    rest: Value = UNKNOWN
    is_open: bool = False  # something unknown was unpacked into it, which may hold any entry
    handed: bool = False  # it came from elsewhere, and only what was put into it since is known

    def get(self, key: str) -> Value:
        return dict(self.entries).get(key, self.rest)

    def put(self, key: str, value: Value) -> Table:
        """The table with this entry; one that is filled line by line for ever is forgotten, as each line copies it."""
        if len(self.entries) >= MAX_FILLED:
            return Table(((key, value),))
        return replace(self, entries=tuple({**dict(self.entries), key: value}.items()))
