"""How does a loop write the steps down? In its own words they can stand in a rewrite, and say what they are."""

from __future__ import annotations

import re

from ga_lint.facts.interpreter.events import Event
from ga_lint.facts.model import Place
from ga_lint.facts.values import Boundary

_ENUMERATED = re.compile(r"enumerate\(([\w.]+)(?:, .*)?\)")
_RANGE = re.compile(r"range\(([A-Za-z_][\w.]*)\)")


def written_steps(backward: Event, step: Event, gate: Place | None) -> str:
    """The steps in the words of the gate, where it stands in the loop: there its names mean what they mean to it.

    An inner loop is its own gate: `range(accumulation_steps)`.
    """
    loop = backward.loops[-1].body
    for guard in step.guards:
        if guard.place == gate and isinstance(guard.test, Boundary):
            inside = guard.place.path == loop.path and loop.span.contains(guard.place.span)
            return guard.test.written if inside else ""
    for one in backward.loops:
        if one.place == gate and (found := _RANGE.fullmatch(one.rounds_text)):
            return found.group(1)
    return ""


def runs_over(backward: Event, gate: Place | None) -> str:
    """`window` of `for index, batch in enumerate(window)`."""
    text = next((one.rounds_text for one in backward.loops if one.place == gate), "")
    counted = _ENUMERATED.fullmatch(text)
    return counted.group(1) if counted else text
