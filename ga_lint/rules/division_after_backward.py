"""GA110: see rules/GA110-division-after-backward.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import LOOP_WORDS, Answer, Factor, FileFacts, Level, Place, Raggedness
from ga_lint.project import Project
from ga_lint.rules._fixes import window_fix
from ga_lint.rules._loops import Loss, confidence, is_plain, losses, times_too_large, trace
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule


@rule(
    "GA110",
    "division-after-backward",
    "the loss is divided by the steps when backward has run already",
    severity=Severity.ERROR,
    needles=LOOP_WORDS,
)
def division_after_backward(facts: FileFacts, project: Project) -> Iterator[Finding]:
    divided = {loss.window.backward for loss in losses(facts) if loss.by_user}
    reported: set[Place] = set()
    for loss in losses(facts):
        window, late = loss.window, loss.window.divided_after
        if late is None or late.place in reported or window.backward in divided or not loss.is_mean:
            continue
        if loss.divisions or window.library.answer is not Answer.NO or window.rescaled or not is_plain(loss):
            continue
        reported.add(late.place)
        yield _finding(loss, late, facts.raggedness_of(loss.term.site))


def _fix(loss: Loss, late: Factor, ragged: Raggedness) -> Fix:
    """The share of the window where the counts differ; otherwise the division, before backward."""
    window = loss.window
    if ragged.answer is Answer.YES and loss.term.site.level is Level.TOKEN:
        return window_fix(loss)
    if window.backward.path != late.place.path or not window.loop.span.contains(window.backward.span):
        return None, "backward runs in another function than the division"
    targets = (("backward", window.backward.span), ("division", late.place.span))
    summary = f"divide by `{late.text}` before backward"
    return FixRequest("divide-before", FixTier.SAFE, summary, targets, (("steps", late.text),)), None


def _finding(loss: Loss, late: Factor, ragged: Raggedness) -> Finding:
    window = loss.window
    fix, refusal = _fix(loss, late, ragged)
    return Finding(
        code="GA110",
        name="division-after-backward",
        severity=Severity.ERROR,
        confidence=confidence(loss),
        message=f"the loss is divided by `{late.text}` after backward has run: the gradients were added up undivided",
        span=late.place.span,
        label="too late",
        effect=Effect(EffectKind.SCALE, f"gradients are {times_too_large(window)}", "GAS", window.steps_value),
        scope=window.scope,
        trace=(*trace(loss), late.place.as_step("divided here, too late")),
        fix=fix,
        fix_refusal=refusal,
    )
