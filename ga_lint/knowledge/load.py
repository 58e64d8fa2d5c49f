"""Are the rows sound? Reads rules/knowledge/*.toml once; a bad row is an error with its file and place."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from ga_lint.errors import UsageError
from ga_lint.knowledge.model import (
    TABLES,
    BaseRow,
    ByName,
    CollatorRow,
    DriverRow,
    DroppedCounts,
    ForeignRow,
    HeadRange,
    HeadRow,
    Knowledge,
    LossRow,
    Minor,
    ProjectRow,
    TableShape,
    TrainerRow,
)
from ga_lint.knowledge.rows import row_of
from ga_lint.resources import rules_folder

NamedRow = TypeVar("NamedRow", LossRow, CollatorRow, TrainerRow, DriverRow)
Row = TypeVar("Row", LossRow, HeadRow, CollatorRow, TrainerRow, DriverRow, ForeignRow, BaseRow)


@functools.cache
def load() -> Knowledge:
    """The shipped tables."""
    folder = rules_folder() / "knowledge"
    return Knowledge(
        losses=_by_name(folder / "losses.toml", "loss", LossRow),
        heads=tuple(_rows(folder / "models.toml", "head", HeadRow)),
        collators=_by_name(folder / "collators.toml", "collator", CollatorRow),
        trainers=_by_name(folder / "trainers.toml", "trainer", TrainerRow),
        drivers=_by_name(folder / "stacks.toml", "driver", DriverRow),
        foreign=tuple(_rows(folder / "trainers.toml", "foreign", ForeignRow)),
        bases=tuple(_rows(folder / "models.toml", "base", BaseRow)),
    )


@functools.cache
def dropped_counts() -> DroppedCounts:
    """The stock heads that ignore the count. Not part of `load`: only a rule that met a Trainer with a head asks."""
    path = rules_folder() / "knowledge" / "dropped_counts.toml"
    ranges: dict[str, list[HeadRange]] = {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        for one in (*_of_classes(tables["heads"]), *_of_automatic_classes(tables["auto"])):
            ranges.setdefault(one.name, []).append(one)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a table of [[heads]] and [[auto]] rows: {error!r}") from None
    return DroppedCounts({name: tuple(sorted(each, key=lambda one: one.since)) for name, each in ranges.items()})


def head_drops_count(name: str, release: tuple[int, ...] | None = None) -> HeadRange | None:
    """Does that stock head ignore the count in that release (None: in the newest)? The range that says so."""
    return dropped_counts().at(name, release)


def _of_classes(rows: Iterable[Mapping[str, Any]]) -> Iterator[HeadRange]:
    for row in rows:
        since, before = _minor(row["since"]), _minor(row["before"]) if "before" in row else None
        for level in ("token", "sample"):
            for name in row.get(level, ()):
                yield HeadRange(name, level, since, before, row["source"])


def _of_automatic_classes(rows: Iterable[Mapping[str, Any]]) -> Iterator[HeadRange]:
    for row in rows:
        following = [*(_minor(since) for since, _, _ in row["shares"][1:]), None]
        for (since, dropping, heads), before in zip(row["shares"], following, strict=True):
            if dropping:
                yield HeadRange(row["name"], row["level"], _minor(since), before, row["source"], dropping, heads)


def _minor(text: str) -> Minor:
    major, minor = text.split(".")
    return int(major), int(minor)


def project_rows(tables: Mapping[str, Mapping[str, object]]) -> dict[str, ProjectRow]:
    """A project's own rows, as they stand under [tool.ga-lint.knowledge]; UsageError names table, row and key."""
    rows: dict[str, ProjectRow] = {}
    for table, entries in tables.items():
        if table not in TABLES:
            raise UsageError(f"tool.ga-lint.knowledge has no table {table!r}; known are {', '.join(TABLES)}")
        for name, entry in entries.items():
            place = f"tool.ga-lint.knowledge.{table}.{name!r}"
            if not isinstance(entry, Mapping):
                raise UsageError(f"{place} must be a table")
            if "." not in name:
                raise UsageError(f"{place}: name it with its module, as mylib.losses.{name}")
            rows[name] = _project_row(TABLES[table], name, entry, place)
    return rows


def _project_row(shape: TableShape, name: str, entry: Mapping[str, object], place: str) -> ProjectRow:
    for key, value in entry.items():
        wanted = shape.keys.get(key)
        if wanted is None:
            raise UsageError(f"{place} has no key {key!r}; known are {', '.join(shape.keys)}")
        if isinstance(wanted, tuple):
            if value not in wanted:
                raise UsageError(f"{place}.{key} must be one of {', '.join(wanted)}")
        elif not isinstance(value, wanted) or isinstance(value, bool):
            raise UsageError(f"{place}.{key} must be {'a whole number' if wanted is int else 'a string'}")
    given = {shape.fields.get(key, key): value for key, value in entry.items()}
    return shape.row(**{"name": name, "source": "the project", **shape.defaults, **given})


def with_rows(base: Knowledge, rows: Mapping[str, ProjectRow]) -> Knowledge:
    """The tables with a project's own rows, which win."""
    losses = {name: row for name, row in rows.items() if isinstance(row, LossRow)}
    trainers = {name: row for name, row in rows.items() if isinstance(row, TrainerRow)}
    collators = {name: row for name, row in rows.items() if isinstance(row, CollatorRow)}
    return replace(
        base,
        losses=ByName({**base.losses.rows, **losses}),
        trainers=ByName({**base.trainers.rows, **trainers}),
        collators=ByName({**base.collators.rows, **collators}),
    )


def _by_name(path: Path, key: str, kind: type[NamedRow]) -> ByName[NamedRow]:
    return ByName({row.name: row for row in _rows(path, key, kind)})


def _rows(path: Path, key: str, kind: type[Row]) -> list[Row]:
    try:
        entries = _tables(path)[key]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(f"{path}: not a table of [[{key}]] rows: {error}") from None
    return [row_of(kind, entry, f"{path.name}: {key} {number}") for number, entry in enumerate(entries, 1)]


@functools.cache  # some files hold two tables
def _tables(path: Path) -> Mapping[str, list[dict[str, object]]]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
