"""Which pictures does a site get? The gradients against the full batch, and the error over steps and skew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ga_lint.report.numeric.svg import (
    CEILING,
    FLOOR,
    WIDTH,
    Scale,
    box,
    label,
    line,
    mark,
    number,
    path,
    power,
    shortened,
    svg,
)
from ga_lint.verify.sweep import ParameterGradient, Point
from ga_lint.verify.thresholds import DIFFERS, allowed_in

AGREES = allowed_in("float64")  # below it an error is noise; above DIFFERS it is real
_ERRORS = (-15, -12, -9, -6, -3, 0)  # ticks, powers of ten
PANELS = 6  # parameters whose elements are drawn
MOST_STRETCHED = 6.0  # how much higher than wide the range of a panel may get; elements beyond stand at its edge
_ROW, _NAME = 30, 46  # user units of a parameter's row; characters of its name
_PANEL, _GAP = 110, 15


def by_parameter(parameters: Sequence[ParameterGradient]) -> str:
    """One row for each parameter, the error along it."""
    x = Scale(FLOOR, CEILING, 10, WIDTH - 10, logarithmic=True)
    top, bottom = 22, 22 + _ROW * len(parameters)
    parts = [*_zones_across(x, top, bottom)]
    for row, parameter in enumerate(parameters):
        y = top + _ROW * row + 21
        parts.append(label(12, y - 9, shortened(parameter.name, _NAME), "name"))
        parts.append(line(10, y, WIDTH - 10, y, "grid"))
        for kind, error in (("original", parameter.original), ("rewrite", parameter.rewrite)):
            if error is not None:
                parts.append(mark(x(error), y, kind, f"{parameter.name}, {kind}: {number(error)}"))
    parts += [label(x(10.0**tick), bottom + 15, power(tick), anchor="middle") for tick in _ERRORS]
    parts.append(label(x(0), bottom + 15, "0", anchor="middle"))
    worst = max(parameters, key=lambda each: each.original)
    words = f"The original is furthest off in {worst.name}, by {number(worst.original)}"
    if worst.rewrite is not None:
        words += f"; the rewrite by at most {number(max(each.rewrite or 0.0 for each in parameters))} anywhere"
    return svg(bottom + 22, "Relative error of the gradient by parameter", f"{words}.", parts)


def _zones_across(x: Scale, top: float, bottom: float) -> Iterator[str]:
    yield box(10, top, x(AGREES) - 10, bottom - top, "agrees")
    yield box(x(DIFFERS), top, WIDTH - 10 - x(DIFFERS), bottom - top, "differs")
    yield label(12, top - 7, "agrees", "zone")
    yield label(WIDTH - 12, top - 7, "differs", "zone", "end")


def of_elements(parameters: Sequence[ParameterGradient]) -> str:
    """A square for each of the largest parameters: an element's gradient against that of the full batch."""
    chosen = parameters[:PANELS]
    across, down = _PANEL + _GAP, _PANEL + 2 * _GAP
    rows = math.ceil(len(chosen) / 3)
    parts: list[str] = []
    for index, parameter in enumerate(chosen):
        parts += _panel(parameter, (index % 3) * across, 16 + (index // 3) * down)
    drawn = "; ".join(f"{each.name}: the original is off by {number(each.original)}" for each in chosen)
    words = f"Points on the dashed line are right. {drawn}"
    return svg(rows * down, "Elements of the gradient against the full batch's", f"{words}.", parts)


def _panel(parameter: ParameterGradient, left: float, top: float) -> Iterator[str]:
    across = 1.15 * (max((abs(full) for full, _, _ in parameter.entries), default=0.0) or 1.0)
    highest = max((abs(original) for _, original, _ in parameter.entries), default=0.0)
    up = max(across, min(1.15 * highest, MOST_STRETCHED * across))
    x = Scale(-across, across, left, left + _PANEL)
    y = Scale(-up, up, top + _PANEL, top)
    yield label(left, top - 5, shortened(parameter.name, 19), "name")
    yield box(left, top, _PANEL, _PANEL, "panel")
    yield line(left, y(0), left + _PANEL, y(0), "grid")
    yield line(x(0), top, x(0), top + _PANEL, "grid")
    yield line(left, y(-across), left + _PANEL, y(across), "diagonal")
    for full, original, _ in parameter.entries:
        outside = " (outside the picture)" if not abs(original) <= up else ""
        tip = f"{parameter.name}: full batch {full:.3g}, original {original:.3g}{outside}"
        yield mark(x(full), y(original), "edge" if outside else "original", tip, 3.2)
    for full, _, rewrite in parameter.entries:
        if rewrite is not None:
            tip = f"{parameter.name}: full batch {full:.3g}, rewrite {rewrite:.3g}"
            yield mark(x(full), y(rewrite), "rewrite", tip, 2.8)


def over_steps(points: Sequence[Point]) -> str:
    """The error over the accumulation steps."""
    places = {point.value: index for index, point in enumerate(points)}
    x = Scale(0, max(len(points) - 1, 1), 62, WIDTH - 22)
    return _over(
        points,
        "Relative error over the accumulation steps",
        "accumulation steps (micro-batches of one row)",
        [(x(place), f"{value:g}") for value, place in places.items()],
        [x(places[point.value]) for point in points],
    )


def over_skew(points: Sequence[Point]) -> str:
    """The error over how uneven the counts of a window are."""
    x = Scale(0, max(0.9, *(point.value for point in points)), 62, WIDTH - 22)
    return _over(
        points,
        "Relative error over label skew",
        "spread of the target counts (standard deviation / mean)",
        [(x(tick), f"{tick:g}") for tick in (0, 0.2, 0.4, 0.6, 0.8)],
        [x(point.value) for point in points],
    )


def _over(
    points: Sequence[Point], title: str, axis: str, ticks: Sequence[tuple[float, str]], places: Sequence[float]
) -> str:
    top, bottom, left, right = 20, 200, 52, WIDTH - 10
    y = Scale(FLOOR, CEILING, bottom, top, logarithmic=True)
    parts = [
        box(left, y(AGREES), right - left, bottom - y(AGREES), "agrees"),
        box(left, top, right - left, y(DIFFERS) - top, "differs"),
        label(right - 5, y(AGREES) + 14, "agrees", "zone", "end"),
        label(right - 5, top - 6, "differs", "zone", "end"),
    ]
    for tick in _ERRORS:
        parts.append(line(left, y(10.0**tick), right, y(10.0**tick), "grid"))
        parts.append(label(left - 7, y(10.0**tick) + 4, power(tick), anchor="end"))
    parts.append(label(left - 7, bottom + 4, "0", anchor="end"))
    parts += [label(place, bottom + 16, words, anchor="middle") for place, words in ticks]
    parts.append(label((left + right) / 2, bottom + 34, axis, "axis", "middle"))
    words = []
    for kind in ("original", "rewrite"):
        errors = [(place, getattr(point, kind), point.value) for place, point in zip(places, points, strict=True)]
        drawn = [(place, error, value) for place, error, value in errors if error is not None]
        if drawn:
            parts.append(path([(place, y(error)) for place, error, _ in drawn], f"curve {kind}"))
            parts += [
                mark(place, y(error), kind, f"{kind} at {value:.2g}: {number(error)}") for place, error, value in drawn
            ]
            words.append(f"{kind}: {', '.join(f'{number(error)} at {value:.2g}' for _, error, value in drawn)}")
    return svg(bottom + 42, title, f"{'; '.join(words)}.", parts)
