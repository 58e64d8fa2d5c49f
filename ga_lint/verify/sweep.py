"""How far are the gradients off, parameter by parameter, and under other settings? Measured where a report shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

STEPS = (1, 2, 4, 8, 16)
# Targets of the four micro-batches of a window: 32 in all, spread ever more unevenly.
SKEWS = ((8, 8, 8, 8), (9, 8, 8, 7), (11, 9, 7, 5), (13, 10, 6, 3), (15, 11, 4, 2), (17, 12, 2, 1))


@dataclass(frozen=True, slots=True)
class ParameterGradient:
    """One parameter's gradient in the first ragged window, against that of the original on the full batch.

    `norm` is the full batch's; the errors are relative to it; `entries` holds (full batch, original, rewrite) for
    some elements, spread evenly over their sizes.
    """

    name: str
    norm: float
    original: float
    rewrite: float | None
    entries: tuple[tuple[float, float, float | None], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """The relative errors in one setting, the worst window's as in R1 and R2; None where there is nothing to run."""

    value: float  # the accumulation steps, or the coefficient of variation of the counts
    original: float | None
    rewrite: float | None
    failure: str | None = None  # why the code does not run in this setting


@dataclass(frozen=True, slots=True)
class Sweep:
    """All that the pictures of one site show."""

    parameters: tuple[ParameterGradient, ...] = ()
    steps: tuple[Point, ...] = ()
    skew: tuple[Point, ...] = ()

    def to_fields(self) -> dict[str, Any]:
        return asdict(self)


def variation(counts: tuple[int, ...]) -> float:
    """Standard deviation over mean."""
    mean = sum(counts) / len(counts)
    return float((sum((count - mean) ** 2 for count in counts) / len(counts)) ** 0.5 / mean)
