"""GA106: see rules/GA106-mismatched-count.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import Answer, Factor, FactorKind, FileFacts, Level, Place, Reduction
from ga_lint.project import Project
from ga_lint.rules._loops import Loss, confidence, losses, trace
from ga_lint.rules.registry import rule

_COUNTS = (FactorKind.LOCAL_COUNT, FactorKind.WINDOW_COUNT, FactorKind.GLOBAL_COUNT)


@rule(
    "GA106",
    "mismatched-count",
    "the divisor counts something else than the loss sums",
    severity=Severity.ERROR,
    needles=(b"backward(", b"zero_grad("),
)
def mismatched_count(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    for loss in losses(facts):
        ragged = facts.raggedness_of(loss.term.site)
        for factor in loss.term.factors:
            why = _mismatch(loss, factor, ragged.answer)
            if why is None or factor.place in reported or factor.place.path != facts.path:
                continue
            reported.add(factor.place)
            yield _finding(loss, factor, *why)


def _mismatch(loss: Loss, factor: Factor, ragged: Answer) -> tuple[str, Confidence] | None:
    """What the divisor counts instead, and how sure that is."""
    site = loss.term.site
    if factor.counts_scalar:
        return "which is always 1: the loss is one number already", Confidence.CERTAIN
    if factor.power > 0 or site.reduction is not Reduction.SUM or site.level is Level.SAMPLE:
        return None
    if factor.kind is FactorKind.RUNNING_COUNT:
        return "the targets of the window so far, so that each micro-batch has a divisor of its own", Confidence.CERTAIN
    if factor.kind in _COUNTS and ".numel()" in factor.counted and ragged is Answer.YES:
        return "every position, also those whose targets do not count", Confidence.LIKELY
    return None


def _finding(loss: Loss, factor: Factor, why: str, known: Confidence) -> Finding:
    return Finding(
        code="GA106",
        name="mismatched-count",
        severity=Severity.ERROR,
        confidence=confidence(loss, known),
        message=f"the loss is divided by `{factor.text}`: that counts {why}",
        span=factor.place.span,
        label="another count than the loss's",
        effect=Effect(EffectKind.SCALE, "gradients are scaled by targets / count", "targets/count"),
        scope=loss.window.scope,
        trace=trace(loss),
        fix_refusal="what should be counted is clear, but not where: the count has to run over the whole window",
    )
