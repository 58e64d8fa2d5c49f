"""What do samples of each length weigh? A curve over the counts, and how many samples there are below it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ga_lint.report.numeric.svg import WIDTH, Scale, box, label, line, mark, path, svg
from ga_lint.verify.impact import Impact

_TOP, _BOTTOM, _LEFT, _RIGHT = 10.0, 150.0, 44.0, WIDTH - 12.0
_BARS = 44.0  # user units of the histogram's height, below the axis
_MOST_TICKS = 7
_AROUND = 1.25  # the axis goes a little beyond the extreme weights


def of_weights(impact: Impact) -> str:
    """Both axes logarithmic: twice as much and half as much are equally far from 1."""
    weights = [weight for _, weight in impact.curve]
    y = Scale(min(*weights, 1.0) / _AROUND, max(*weights, 1.0) * _AROUND, _BOTTOM, _TOP, logarithmic=True)
    longest = max(impact.longest, impact.shortest + 1)
    x = Scale(impact.shortest, longest, _LEFT + 6, _RIGHT - 6, logarithmic=True)
    parts = [*_weights_axis(y), line(_LEFT, y(1.0), _RIGHT, y(1.0), "even")]
    parts.append(path([(x(count), y(weight)) for count, weight in impact.curve], "curve original"))
    parts += [
        mark(x(each.count), y(each.weight), "original", f"{each.count:,} targets weigh {each.weight:.3g}")
        for each in impact.weights
    ]
    parts += _histogram(impact, x)
    floor = _BOTTOM + 20 + _BARS
    parts += [label(x(count), floor + 14, f"{count:,}", anchor="middle") for count in _ticks(impact.shortest, longest)]
    parts.append(label((_LEFT + _RIGHT) / 2, floor + 31, "targets of a sample", "axis", "middle"))
    first, last = impact.weights[0], impact.weights[-1]
    words = (
        f"Targets of the shortest samples, with {first.count:,}, weigh {first.weight:.3g}; those of the longest, with "
        f"{last.count:,}, weigh {last.weight:.3g}; 1 is right."
    )
    return svg(floor + 38, "Weight of a target by the length of its sample", words, parts)


def _weights_axis(y: Scale) -> Iterator[str]:
    for tick in _ticks(y.low, y.high):
        yield line(_LEFT, y(tick), _RIGHT, y(tick), "grid")
        yield label(_LEFT - 6, y(tick) + 4, f"{tick:g}", anchor="end")


def _histogram(impact: Impact, x: Scale) -> Iterator[str]:
    most = max(number for _, _, number in impact.histogram)
    floor = _BOTTOM + 20 + _BARS
    for left, right, number in impact.histogram:
        start, end = x(left), x(right)
        tip = f"{number:,} samples of {left:,.0f} to {right:,.0f} targets"
        height = _BARS * number / most
        yield box(start, floor - height, max(end - start - 1, 2), height, "bar", tip)
    yield line(_LEFT, floor, _RIGHT, floor, "grid")


def _ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 ... within the range, as many as there is room for."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) <= _MOST_TICKS:
            return [round(each, 9) if each < 1 else int(each) for each in found]
    return [found[0], found[len(found) // 2], found[-1]]
