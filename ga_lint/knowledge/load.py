"""Are the rows sound? Reads rules/knowledge/*.toml once; a bad row is an error with its file and place."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from ga_lint.errors import UsageError
from ga_lint.knowledge.model import ByName, CollatorRow, DriverRow, HeadRow, Knowledge, LossRow, TrainerRow
from ga_lint.resources import rules_folder

NamedRow = TypeVar("NamedRow", LossRow, CollatorRow, TrainerRow, DriverRow)
Row = TypeVar("Row", LossRow, HeadRow, CollatorRow, TrainerRow, DriverRow)


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
    )


def extended(base: Knowledge, tables: Mapping[str, Mapping[str, Mapping[str, object]]], origin: Path) -> Knowledge:
    """`base` and a project's own rows, as they stand under [tool.ga-lint.knowledge] in `origin`."""
    losses = dict(base.losses.rows)
    for name, entry in tables.get("losses", {}).items():
        defaults = {"kind": "function", "level": "token", "default": "mean", "labels": 1, "source": str(origin)}
        given = {("default" if key == "reduction" else key): value for key, value in entry.items()}
        losses[name] = _row(LossRow, {"name": name, **defaults, **given}, f"{origin}: knowledge.losses.{name}")
    trainers = dict(base.trainers.rows)
    for name, entry in tables.get("trainers", {}).items():
        row = {"name": name, "source": str(origin), **entry}
        trainers[name] = _row(TrainerRow, row, f"{origin}: knowledge.trainers.{name}")
    return dataclasses.replace(base, losses=ByName(losses), trainers=ByName(trainers))


def _by_name(path: Path, key: str, kind: type[NamedRow]) -> ByName[NamedRow]:
    return ByName({row.name: row for row in _rows(path, key, kind)})


def _rows(path: Path, key: str, kind: type[Row]) -> list[Row]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(f"{path}: not a table of [[{key}]] rows: {error}") from None
    return [_row(kind, entry, f"{path.name}: {key} {number}") for number, entry in enumerate(entries, 1)]


def _row(kind: type[Row], entry: Mapping[str, object], place: str) -> Row:
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise UsageError(f"{place}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    try:
        return kind(**entry)  # type: ignore[arg-type]
    except TypeError as error:
        raise UsageError(f"{place}: {error}") from None
