"""GA108: see rules/GA108-constant-partial-window.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import LOOP_WORDS, Answer, FileFacts, Level, Place
from ga_lint.project import Project
from ga_lint.rules._fixes import length_fix
from ga_lint.rules._loops import confidence, losses, trace
from ga_lint.rules.registry import rule


@rule(
    "GA108",
    "constant-partial-window",
    "the step at the loader's end divides by the full steps although its window may be shorter",
    severity=Severity.WARNING,
    needles=LOOP_WORDS,
)
def constant_partial_window(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    for loss in losses(facts):
        window = loss.window
        ends_short = window.at_end or window.stepped_behind
        if not ends_short or not loss.by_user or not loss.is_mean or window.rescaled:
            continue
        ragged = facts.raggedness_of(loss.term.site).answer is Answer.YES
        if ragged and loss.term.site.level is Level.TOKEN:
            continue  # GA101: its share of the window settles this too
        division = loss.by_user[-1]
        if division.place in reported or "len(" in division.text or division.text != window.steps:
            continue
        reported.add(division.place)
        # timid: how short the last window is, is not known; for losses over samples most code takes it for granted
        known = Confidence.LIKELY if loss.term.site.level is Level.TOKEN else Confidence.POSSIBLE
        fix, refusal = length_fix(loss, division.place)
        yield Finding(
            code="GA108",
            name="constant-partial-window",
            severity=Severity.WARNING,
            confidence=confidence(loss, known),
            message=f"the step at the loader's end divides by `{division.text}` too, also where fewer micro-batches "
            "are left for it",
            span=loss.pointed_at(division.place).span,
            label="divided by the full steps",
            effect=Effect(EffectKind.SCALE, "the last step of an epoch is too small by window / GAS", "window/GAS"),
            scope=window.scope,
            trace=trace(loss),
            fix=fix,
            fix_refusal=refusal,
        )
