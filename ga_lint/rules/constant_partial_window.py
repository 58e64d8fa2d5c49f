"""GA108: see rules/GA108-constant-partial-window.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import LOOP_WORDS, Answer, Factor, FileFacts, Level, Place, Stack
from ga_lint.project import Project
from ga_lint.rules._loops import Loss, confidence, losses, trace
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
        if division.place.path != facts.path:
            continue
        # timid: how short the last window is, is not known; for losses over samples most code takes it for granted
        known = Confidence.LIKELY if loss.term.site.level is Level.TOKEN else Confidence.POSSIBLE
        fix, refusal = _fix(loss, division)
        yield Finding(
            code="GA108",
            name="constant-partial-window",
            severity=Severity.WARNING,
            confidence=confidence(loss, known),
            message=f"the step at the loader's end divides by `{division.text}` too, also where fewer micro-batches "
            "are left for it",
            span=division.place.span,
            label="divided by the full steps",
            effect=Effect(EffectKind.SCALE, "the last step of an epoch is too small by window / GAS", "window/GAS"),
            scope=window.scope,
            trace=trace(loss),
            fix=fix,
            fix_refusal=refusal,
        )


def _fix(loss: Loss, division: Factor) -> tuple[FixRequest | None, str | None]:
    """Divide by the length of the window, or why not."""
    window = loss.window
    if window.stack in (Stack.ACCELERATE, Stack.DEEPSPEED, Stack.LIGHTNING) or window.library.answer is Answer.YES:
        return None, f"{window.stack.value} may divide by the full steps as well"
    if window.added_up:
        return None, "the losses of the window are added up before its one backward"
    if division.place.path != window.loop.path or not window.loop.span.contains(division.place.span):
        return None, "the loss is divided outside the loop"
    targets = (("loop", window.loop.span), ("division", division.place.span), ("step", window.optimizer_step.span))
    options = (("steps", window.steps), ("behind", "yes" if window.stepped_behind else "no"))
    return FixRequest("window-length", FixTier.UNSAFE, "divide by the window's length", targets, options), None
