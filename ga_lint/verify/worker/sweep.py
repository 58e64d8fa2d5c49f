"""What do the pictures of a report show? The same code once more, with other steps and other counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from ga_lint.verify.job import STEPS
from ga_lint.verify.sweep import SKEWS, ParameterGradient, Point, Sweep, variation
from ga_lint.verify.sweep import STEPS as SWEPT_STEPS
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.measure import Gradient, Pair, compare, relative_distance

WINDOWS = 4  # as many as any subject looks at
ENTRIES = 25  # elements of a parameter that are shown
MOST_PARAMETERS = 16
SHORTEST = 6  # tokens: shorter rows could not be told apart by their tokens


class Swept(Protocol):
    """A piece of user code that runs on any rows, with any accumulation steps."""

    def windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair: ...


Describe = Callable[[BaseException], str]


def sweep(original: Swept, rewritten: Swept | None, setting: str, seed: int, describe: Describe) -> Sweep:
    """Everything measured; what fails in one setting is a point without numbers, and no other is lost."""

    def point(value: float, rows: Sequence[data.Row], steps: int) -> Point:
        try:
            before = original.windows(rows, steps, setting)
            after = None if rewritten is None else rewritten.windows(rows, steps, setting)
        except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
            return Point(value, None, None, describe(error))
        return Point(value, _error(before, before.whole), None if after is None else _error(after, before.whole))

    return Sweep(
        parameters=_parameters(original, rewritten, setting, seed),
        steps=tuple(point(steps, rows_for(steps, seed), steps) for steps in SWEPT_STEPS),
        skew=tuple(point(variation(counts), skewed_rows(counts, seed), STEPS) for counts in SKEWS),
    )


def rows_for(steps: int, seed: int) -> list[data.Row]:
    """The rows of every check in their order, and as many more of the same shapes as the windows need."""
    return data.rows_like(True, WINDOWS * max(steps, STEPS), seed)


def skewed_rows(counts: Sequence[int], seed: int) -> list[data.Row]:
    """Windows of rows with these counts, each window in another order."""
    turned = [counts[(n + window) % len(counts)] for window in range(WINDOWS) for n in range(len(counts))]
    lengths = [max(count + 1, SHORTEST) for count in turned]
    return data.rows_shaped([(length, length - count) for length, count in zip(lengths, turned, strict=True)], seed)


def _error(found: Pair, expected: Sequence[Gradient]) -> float:
    """The worst full window's relative error."""
    (accumulated,) = found.accumulated  # one process
    full = [n for n in found.full if n < len(expected)]
    return compare("", "", [accumulated[n] for n in full], [expected[n] for n in full]).relative_error


def _parameters(original: Swept, rewritten: Swept | None, setting: str, seed: int) -> tuple[ParameterGradient, ...]:
    rows = data.rows(True, seed)
    before = original.windows(rows, STEPS, setting)
    full, found = before.whole[0], before.accumulated[0][0]
    after = rewritten.windows(rows, STEPS, setting).accumulated[0][0] if rewritten is not None else None
    names = sorted(full, key=lambda name: -float(full[name].double().norm()))[:MOST_PARAMETERS]
    return tuple(_parameter(name, full, found, after) for name in names)


def _parameter(name: str, full: Gradient, found: Gradient, after: Gradient | None) -> ParameterGradient:
    flat = [None if each is None else each[name].double().flatten() for each in (full, found, after)]
    expected = flat[0]
    assert expected is not None
    order = torch.argsort(expected)
    places = torch.linspace(0, len(order) - 1, min(ENTRIES, len(order))).round().long()
    entries = [
        tuple(None if values is None else float(values[element]) for values in flat) for element in order[places]
    ]
    return ParameterGradient(
        name=name,
        norm=float(expected.norm()),
        original=relative_distance(found[name], full[name]),
        rewrite=None if after is None else relative_distance(after[name], full[name]),
        entries=tuple(entries),  # type: ignore[arg-type]
    )
