"""Frozen types of which some fields tell nothing apart."""

from __future__ import annotations

from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable


class Compared(Struct, frozen=True, eq=False):
    """Equal to another of its type where all fields are but those `beside`: a place to show, a spelling."""

    beside: ClassVar[frozenset[str]] = frozenset()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        compared = _compared(type(self))
        return self is other or compared(self) == compared(other)

    def __ne__(self, other: object) -> bool:
        return not self == other  # Struct's own would ask for identity

    def __hash__(self) -> int:
        return hash(_compared(type(self))(self))


@cache
def _compared(kind: type[Compared]) -> Callable[[object], object]:
    """Reads the fields that count, all at once."""
    return attrgetter(*(name for name in kind.__struct_fields__ if name not in kind.beside))
