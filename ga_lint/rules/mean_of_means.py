"""GA101: see rules/GA101-mean-of-means.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Finding, Severity
from ga_lint.facts.model import LOOP_WORDS, FileFacts, Level, Place, Raggedness
from ga_lint.project import Project
from ga_lint.rules._effects import MEAN_OF_MEANS
from ga_lint.rules._fixes import window_fix
from ga_lint.rules._loops import Loss, confidence, losses, steps_text, trace
from ga_lint.rules.registry import rule


@rule(
    "GA101",
    "mean-of-means",
    "a mean over each micro-batch's tokens is averaged over micro-batches with different token counts",
    severity=Severity.WARNING,
    needles=LOOP_WORDS,
)
def mean_of_means(facts: FileFacts, project: Project) -> Iterator[Finding]:
    best: dict[Place, Finding] = {}
    for loss in losses(facts):
        if not loss.is_mean or loss.divisions < 1 or loss.term.site.level is Level.SAMPLE:
            continue
        found = _finding(loss, facts.raggedness_of(loss.term.site))
        if loss.place not in best or found.confidence > best[loss.place].confidence:
            best[loss.place] = found
    yield from best.values()


def _finding(loss: Loss, ragged: Raggedness) -> Finding:
    window = loss.window
    level = Confidence.CERTAIN if loss.term.site.level is Level.TOKEN else Confidence.POSSIBLE
    fix, refusal = window_fix(loss)
    return Finding(
        code="GA101",
        name="mean-of-means",
        severity=Severity.WARNING,
        confidence=confidence(loss, ragged.confidence, level),
        message=f"the mean over this micro-batch's tokens is averaged over {steps_text(window)} micro-batches "
        "that can hold different numbers of targets",
        span=loss.place.span,
        label="the mean is divided here" if loss.by_user else "the mean goes into backward here",
        effect=MEAN_OF_MEANS,
        scope=window.scope,
        trace=trace(loss, ragged.evidence),
        fix=fix,
        fix_refusal=refusal,
    )
