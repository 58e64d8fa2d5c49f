"""Losses, and the numbers that they are divided by: what is summed up, and over how much of the window?"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.compared import Compared
from ga_lint.facts.model import Counted, Divisor, Factor, LossSite, LossTerm, Place
from ga_lint.facts.values.program import Const

if TYPE_CHECKING:
    from ga_lint.facts.values import Value


class Scale(enum.Enum):
    """Over what a count runs."""

    MICRO_BATCH = "micro-batch"
    RUNNING = "running"  # summed up in a loop that is still going on
    WINDOW = "window"
    GLOBAL = "all ranks"


class Count(Compared, frozen=True):
    """How many elements: of what, and over what."""

    beside = frozenset(("divisor", "place"))

    what: str  # the text of the counted mask or tensor; "num_items_in_batch" for the Trainer's own
    scale: Scale
    loop: int = 0  # id of the loop that a running count is summed up in
    per_rank: bool = False  # divided by the number of ranks
    depth: int = 0  # how many loops are running where it is counted
    text: str = ""
    shifted: bool = False  # the first label was left out
    targets: Counted | None = None  # what is counted, where the batch itself holds it
    divisor: Divisor | None = None  # where it is written, if it may be so once more
    place: Place | None = None  # where the number of one micro-batch is written

    @property
    def is_trainers(self) -> bool:
        return self.what == COUNT


class Elements(Struct, frozen=True):
    """A loss that is not reduced yet: one number for each token or sample.

    `inner` counts the axes within one token that are still there (1 for a divergence over the vocabulary).
    """

    site: LossSite
    inner: int = 0
    factors: tuple[Factor, ...] = ()  # what each of them was multiplied with or divided by


class Loss(Struct, frozen=True):
    """A loss that gradients flow from: a sum of terms."""

    terms: tuple[LossTerm, ...]
    added: tuple[Place, ...] = ()  # where something is added that could not be followed


class Product(Struct, frozen=True):
    """`steps * world_size / count`, `1 / n`: each factor with its text and its power, 1 or -1."""

    factors: tuple[tuple[Value, str, int], ...]


COUNT = "num_items_in_batch"  # the Trainer's name for the window's count


NO_COUNT = Const(None, COUNT)  # what it passes where it has counted nothing


def is_missing_count(value: Value) -> bool:
    """Is this the count where the Trainer passes none?"""
    return isinstance(value, Const) and value.value is None and value.text == COUNT
