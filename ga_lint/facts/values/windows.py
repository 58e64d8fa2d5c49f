"""What does a loop count, and which test tells that a window ends?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ga_lint.facts.values import Value


@dataclass(frozen=True, slots=True)
class Remainder:
    """`step % n`, perhaps shifted: what a modulo gate tests."""

    steps: Value
    written: str = field(default="", compare=False)  # `n` as it stands there


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that a loop counts up by one."""

    length: bool = False  # of a list that each round puts one element in


@dataclass(frozen=True, slots=True)
class Boundary:
    """A test that is true (or, negated, false) on the last micro-batch of a window."""

    steps: Value
    negated: bool = False
    at_end: bool = False  # it is true as well where the loader ends, after a window that may be shorter
    written: str = field(default="", compare=False)  # the steps as they stand in the test
