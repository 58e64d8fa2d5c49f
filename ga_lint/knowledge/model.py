"""What can a row say? Frozen tables; names are matched by their root package and their last part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from msgspec import Struct, field

Row = TypeVar("Row")


class LossRow(Struct, frozen=True):
    """A callable that computes a loss."""

    name: str
    kind: str  # "function" or "class"
    level: str  # "shape", "token", "sample" or "element"
    default: str  # its reduction when none is passed
    labels: int  # position of the targets
    source: str
    ignore_index: int | None = None
    count: str | None = None  # the parameter that takes the window's count, if any
    count_at: int | None = None  # its position
    copied: bool = False  # projects carry its library along and change it: that is read like their own code


class HeadRow(Struct, frozen=True):
    """A stock head, by the end of its class name."""

    suffix: str
    level: str
    source: str
    shifts: bool | None = None  # does its loss drop the first label? None where heads of that name differ
    listed: bool = False  # its labels are a list of dictionaries, which the Trainer cannot count: it divides by itself


class BaseRow(Struct, frozen=True):
    """A class that others are written on, by its name: nothing that its `__init__` sets computes a loss."""

    name: str
    source: str


Minor = tuple[int, int]


class HeadRange(Struct, frozen=True):
    """A stock head whose loss ignores the count that it is handed, and releases of transformers in which it does."""

    name: str
    level: str  # what one element of its loss is: "token" or "sample"
    since: Minor
    before: Minor | None  # the first minor release that does not; None where the newest one read still does
    source: str
    dropping: int = 1  # of an automatic class: how many of the heads that it may build
    heads: int = 1

    def holds(self, release: tuple[int, ...]) -> bool:
        """Is the release in this range? A newer one than was read is like the newest."""
        return self.since <= release[:2] and (self.before is None or release[:2] < self.before)


class DroppedCounts(Struct, frozen=True):
    """Which stock heads ignore the count."""

    ranges: Mapping[str, tuple[HeadRange, ...]]  # by class name, oldest first

    def of(self, name: str) -> tuple[HeadRange, ...]:
        """The ranges of the head that `name` names: a class, alone or with transformers' module, or a factory of it."""
        parts = name.split(".")
        if len(parts) > 1 and parts[0] != "transformers" and parts[0] not in self.ranges:
            return ()
        return next((self.ranges[part] for part in reversed(parts) if part in self.ranges), ())

    def at(self, name: str, release: tuple[int, ...] | None) -> HeadRange | None:
        """The range that holds for a release; an unknown one is taken for the newest."""
        holding = (one for one in self.of(name) if (one.before is None if release is None else one.holds(release)))
        return next(holding, None)


class CollatorRow(Struct, frozen=True):
    """A collator and what it does with targets."""

    name: str
    targets: str
    source: str


class TrainerRow(Struct, frozen=True):
    """A class that reaches transformers' Trainer."""

    name: str
    source: str
    loss: str = "token"


class ForeignRow(Struct, frozen=True):
    """A library with a Trainer that is not transformers'."""

    library: str
    source: str


class DriverRow(Struct, frozen=True):
    """An object that drives backward."""

    name: str
    stack: str
    divides: str
    source: str
    steps: str | None = None
    plugin: str | None = None
    engine_plugin: str | None = None  # of a DeepSpeed engine inside, whose steps go before the others


ProjectRow = LossRow | TrainerRow | CollatorRow  # what a project can say about its own names
Values = tuple[str, ...] | type[str] | type[int]


class TableShape(Struct, frozen=True):
    """What a project may write in one table of [tool.ga-lint.knowledge]."""

    row: Callable[..., ProjectRow]
    keys: Mapping[str, Values]  # what each key admits
    defaults: Mapping[str, object] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)  # keys that the row calls otherwise


TABLES: Mapping[str, TableShape] = {
    "losses": TableShape(
        LossRow,
        {
            "reduction": ("mean", "sum", "none"),
            "level": ("token", "sample", "element", "shape"),
            "kind": ("function", "class"),
            "labels": int,
            "ignore_index": int,
            "count": str,
            "count_at": int,
        },
        {"kind": "function", "level": "token", "default": "mean", "labels": 1},
        {"reduction": "default"},
    ),
    "trainers": TableShape(TrainerRow, {"loss": ("token", "sample")}),
    "collators": TableShape(CollatorRow, {"targets": ("pads", "masks", "keeps")}, {"targets": "pads"}),
}


class ByName(Generic[Row]):
    """Rows found by qualified name, however the library re-exports it: root package and last part decide."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self.rows = dict(rows)
        self._short = {_short(name): row for name, row in rows.items()}

    def get(self, name: str) -> Row | None:
        return self.rows.get(name) or self._short.get(_short(name))


def _short(name: str) -> tuple[str, str]:
    return name.partition(".")[0], name.rpartition(".")[2]


class Knowledge(Struct, frozen=True, dict=True):
    """All tables."""

    losses: ByName[LossRow]
    heads: tuple[HeadRow, ...]
    collators: ByName[CollatorRow]
    trainers: ByName[TrainerRow]
    drivers: ByName[DriverRow]
    foreign: tuple[ForeignRow, ...] = ()
    bases: tuple[BaseRow, ...] = ()

    @cached_property
    def foreign_trainers(self) -> frozenset[str]:
        """The root packages whose Trainers are none of transformers'."""
        return frozenset(row.library for row in self.foreign)

    @cached_property
    def bases_without_loss(self) -> frozenset[str]:
        """The classes whose `__init__` need not be run: what it sets computes no loss."""
        return frozenset(row.name for row in self.bases)

    @cached_property
    def libraries(self) -> frozenset[str]:
        """The root packages that the rows speak of, but for those that projects copy."""
        tables = (self.losses, self.collators, self.trainers, self.drivers)
        copied = {name.partition(".")[0] for name, row in self.losses.rows.items() if row.copied}
        return frozenset(name.partition(".")[0] for table in tables for name in table.rows) - copied

    def head(self, name: str) -> HeadRow | None:
        """The row of the head that `name` (a class or a factory such as X.from_pretrained) names."""
        if name not in self._heads:
            parts = reversed(name.split("."))
            fitting = (row for part in parts for row in self.heads if part.endswith(row.suffix))
            self._heads[name] = next(fitting, None)
        return self._heads[name]

    @cached_property
    def _heads(self) -> dict[str, HeadRow | None]:
        """The answers so far."""
        return {}

    def head_level(self, name: str) -> str | None:
        """What one element of that head's own loss is."""
        row = self.head(name)
        return row.level if row else None

    def head_shifts(self, name: str) -> bool | None:
        """Whether that head's own loss drops the first label."""
        row = self.head(name)
        return row.shifts if row else None
