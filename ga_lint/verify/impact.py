"""What does a mean of means do to this user's training? Exact expectations over random windows; no torch.

A window holds G micro-batches of B samples, drawn independently from the training set. Sample i has n_i targets,
micro-batch m has T_m, the window N. In the full batch's loss each target weighs 1/N; in the mean of the micro-batches'
means a target of micro-batch m weighs 1/(G T_m). So the *weight* of a sample's targets,
relative to the full batch's, is

    w = N / (G T_m),

1 where all counts are equal, above 1 in micro-batches with few targets. Averaged over the targets of a window it is 1
always: nothing is lost, it is shared out wrongly. What is expected for a sample with n targets,

    E[w | n] = (1 + (G - 1) E[T] E[1 / (n + S)]) / G,       S: the targets of the B - 1 others in its micro-batch,

needs E[1/x] of sums, which is an integral: 1/x = int exp(-x u) du, hence E[1 / (n + S)] = int exp(-n u) L(u)^(B-1) du
with L(u) = E[exp(-n u)] over the training set. The *spread* is the root of E[mean over targets of (w - 1)^2], which for
one window is the arithmetic mean of its T_m over their harmonic mean, less 1; expected,

    spread^2 = (G - 1)/G (E[T] E[1/T] - 1).

It is the relative error of the part of the gradient in which targets are independent of each other, and a window's
gradient is as noisy as that of 1 / (1 + spread^2) of its targets.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ga_lint.verify.job import STEPS
from ga_lint.verify.model import Run
from ga_lint.verify.thresholds import SCALE, has_right_direction

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
CURVE = 60  # counts at which the picture is drawn
BARS = 24  # of the histogram
MOST_DISTINCT = 20_000  # distinct counts that are kept apart: 200 exponentials each
_STEP, _LOWEST, _HIGHEST = 0.2, -28.0, 3.7  # of log(u): beyond, the integrand is below 1e-12 of the whole


@dataclass(frozen=True, slots=True)
class Weight:
    """What a sample with `count` targets gets, relative to the full batch's 1; at a `quantile` of the samples."""

    quantile: float
    count: int
    weight: float


@dataclass(frozen=True, slots=True)
class Impact:
    """A training set, cut into windows, under a mean of means."""

    samples: int
    targets: int
    shortest: int
    longest: int
    steps: int
    batch_size: int
    weights: tuple[Weight, ...]  # at the quantiles
    curve: tuple[tuple[float, float], ...]  # (count, expected weight), from the shortest to the longest
    histogram: tuple[tuple[float, float, int], ...]  # (from, to, samples)
    spread: float
    empty: float  # the share of micro-batches without a target: their mean is NaN
    last: int  # micro-batches in an epoch's last window; `steps` where it is full

    @property
    def mean(self) -> float:
        return self.targets / self.samples

    @property
    def effective(self) -> float:
        """The share of a window's targets whose gradient would be as noisy as the window's."""
        return 1 / (1 + self.spread**2)


def impact(counts: Iterable[int], steps: int, batch_size: int) -> Impact:
    """ValueError where nothing holds a target, or a number is not positive."""
    if steps < 1 or batch_size < 1:
        raise ValueError("the accumulation steps and the batch size are at least 1")
    values = sorted(counts)
    if not values or values[-1] < 1 or values[0] < 0:
        raise ValueError("no sample holds a target")
    expected = _Expected(values, steps, batch_size)
    positive = values[next(index for index, value in enumerate(values) if value) :]
    micro_batches = math.ceil(len(values) / batch_size)
    return Impact(
        samples=len(values),
        targets=sum(values),
        shortest=positive[0],
        longest=values[-1],
        steps=steps,
        batch_size=batch_size,
        weights=tuple(_weights(positive, expected)),
        curve=tuple((count, expected.weight(count)) for count in _between(positive[0], values[-1])),
        histogram=_histogram(positive),
        spread=expected.spread,
        empty=expected.empty,
        last=micro_batches % steps or steps,
    )


def _weights(positive: Sequence[int], expected: _Expected) -> Iterator[Weight]:
    for quantile in QUANTILES:
        count = positive[round(quantile * (len(positive) - 1))]
        yield Weight(quantile, count, expected.weight(count))


class _Expected:
    """The integrals, over one grid of log(u)."""

    def __init__(self, values: Sequence[int], steps: int, batch_size: int) -> None:
        shares = _shares(values)
        mean = sum(count * share for count, share in shares)
        reach = math.log(batch_size * mean)  # the integrand's place moves with the size of the sums
        places = range(round((_HIGHEST - _LOWEST + max(reach, 0.0)) / _STEP) + 1)
        self._grid = [math.exp(_LOWEST - max(reach, 0.0) + _STEP * place) for place in places]
        self._laplace = [math.fsum(share * math.exp(-count * u) for count, share in shares) for u in self._grid]
        self.steps, self.batch_size = steps, batch_size
        self.empty = (shares[0][1] if shares[0][0] == 0 else 0.0) ** batch_size
        self._mean = mean * batch_size / (1 - self.empty)  # of a micro-batch that holds a target

    def weight(self, count: float) -> float:
        """E[w | n], for a sample that holds a target."""
        inverse = self._integral(
            math.exp(-count * u) * value ** (self.batch_size - 1)
            for u, value in zip(self._grid, self._laplace, strict=True)
        )
        return (1 + (self.steps - 1) * self._mean * inverse) / self.steps

    @property
    def spread(self) -> float:
        inverse = self._integral(value**self.batch_size - self.empty for value in self._laplace) / (1 - self.empty)
        return math.sqrt(max(0.0, (self.steps - 1) / self.steps * (self._mean * inverse - 1)))

    def _integral(self, values: Iterable[float]) -> float:
        """Trapezoids over log(u): their error falls exponentially with the step for integrands like these."""
        return _STEP * math.fsum(u * value for u, value in zip(self._grid, values, strict=True))


def _shares(values: Sequence[int]) -> list[tuple[float, float]]:
    """The counts with their shares of the samples; very many different ones are rounded to four digits."""
    found: Counter[float] = Counter(values)
    if len(found) > MOST_DISTINCT:
        found = Counter(float(f"{value:.3e}") for value in values)
    return [(count, number / len(values)) for count, number in sorted(found.items())]


def _between(low: int, high: int) -> list[float]:
    """Counts from low to high in equal ratios."""
    if low == high:
        return [float(low)]
    return [low * (high / low) ** (place / (CURVE - 1)) for place in range(CURVE)]


def _histogram(positive: Sequence[int]) -> tuple[tuple[float, float, int], ...]:
    low, high = positive[0], positive[-1]
    if low == high:
        return ((low, high, len(positive)),)
    edges = [low * (high / low) ** (place / BARS) for place in range(BARS)] + [float(high)]
    found: list[tuple[float, float, int]] = []
    done = 0
    for left, right in itertools.pairwise(edges):
        last = right == high
        upto = len(positive) if last else bisect.bisect_left(positive, right)
        found.append((left, right, upto - done))
        done = upto
    return tuple(found)


_POWER = re.compile(r"GAS(?:\^(\d+))?")


def scale_of(factor: str | None, steps: int) -> float:
    """The number of a fault's symbolic factor of the steps, "GAS", "1/GAS", "GAS^2*N"; ranks count as one."""
    if factor is None:
        return 1.0
    above, *below = factor.split("/")
    power = sum(int(each or 1) for each in _POWER.findall(above))
    power -= sum(int(each or 1) for part in below for each in _POWER.findall(part))
    return float(steps) ** power


@dataclass(frozen=True, slots=True)
class Law:
    """What a fault does: the factor of its gradients, and whether its weights are those of a mean of means."""

    factor: str | None = None  # symbolic: "GAS", "1/GAS", "GAS*N"
    mean_of_means: bool = False
    last_window: bool = False  # a short last window is divided by the full steps


def law_of(runs: Sequence[Run]) -> Law | None:
    """The law that the numbers of one site follow; None where they were not measured, or follow none that is known."""
    first = [run for run in runs if run.setting == runs[0].setting]  # no index where there are none
    equal = next((run for run in first if run.name == "R0"), None)
    ragged = next((run for run in first if run.name == "R1"), None)
    if equal is None or ragged is None:
        return None
    power = round(math.log(equal.scale, STEPS)) if equal.scale > 0 else 0
    if not abs(equal.scale / STEPS**power - 1) < SCALE:
        return None
    return Law(_factor(power), mean_of_means=not has_right_direction(ragged))


def _factor(power: int) -> str | None:
    if power == 0:
        return None
    name = "GAS" if abs(power) == 1 else f"GAS^{abs(power)}"
    return name if power > 0 else f"1/{name}"
