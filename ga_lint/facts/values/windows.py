"""What does a loop count, and which test tells that a window ends?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.compared import Compared

if TYPE_CHECKING:
    from ga_lint.facts.values import Value


class Remainder(Compared, frozen=True):
    """`step % n`, perhaps shifted: what a modulo gate tests."""

    beside = frozenset(("written",))

    steps: Value
    written: str = ""  # `n` as it stands there


class Counter(Struct, frozen=True):
    """A number that a loop counts up by one."""

    length: bool = False  # of a list that each round puts one element in


class Boundary(Compared, frozen=True):
    """A test that is true (or, negated, false) on the last micro-batch of a window."""

    beside = frozenset(("written",))

    steps: Value
    negated: bool = False
    at_end: bool = False  # it is true as well where the loader ends, after a window that may be shorter
    written: str = ""  # the steps as they stand in the test
