"""How is one picture drawn? SVG by hand: marks, axes and zones; colours and fonts come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ga_lint.report.text import shown

WIDTH = 360  # user units, the width of a small screen: a picture is never scaled down to unreadable letters
FLOOR, CEILING = 1e-18, 30.0  # errors below are drawn as 0, errors above at the edge
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to user units along one axis; a logarithmic one takes 0 for its lowest value."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._place(self.low), self._place(self.high)
        if math.isnan(value):
            value = self.high
        share = (self._place(min(max(value, self.low), self.high)) - low) / ((high - low) or 1.0)
        return self.start + share * (self.end - self.start)

    def _place(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def text(value: object) -> str:
    """Anybody's text as text: neither markup nor control characters of it act."""
    return escape(shown(value))


def number(value: float | None) -> str:
    """As people read it: 0.67, 1.6e-16, 0."""
    return "not measured" if value is None else f"{value:.2g}"


def power(exponent: int) -> str:
    return "1" if exponent == 0 else f"10{str(exponent).translate(_SUPERSCRIPTS)}"


def svg(height: float, title: str, description: str, parts: Iterable[str], *, width: float = WIDTH) -> str:
    """One picture, with what it shows in words for those who do not see it."""
    label = f"<title>{text(title)}</title><desc>{text(description)}</desc>"
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return f'<svg role="img" aria-label="{text(f"{title}. {description}")}" {size}>{label}{"".join(parts)}</svg>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> str:
    inside = f"<title>{text(tip)}</title>" if tip else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return f'<rect class="{kind}" {size}>{inside}</rect>'


def label(x: float, y: float, words: str, kind: str = "tick", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{steps}"/>' if points else ""


def mark(x: float, y: float, kind: str, tip: str = "", size: float = 4.0) -> str:
    """A circle for the original, a diamond for the rewrite: nobody has to tell colours apart."""
    inside = f"<title>{text(tip)}</title>" if tip else ""
    if kind == "rewrite":
        corners = f"M{x:.1f} {y - size:.1f} l{size:g} {size:g} l{-size:g} {size:g} l{-size:g} {-size:g} z"
        return f'<path class="mark rewrite" d="{corners}">{inside}</path>'
    return f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.85:g}">{inside}</circle>'


def shortened(name: str, most: int) -> str:
    """The end of a long name: that is where names of parameters differ."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
