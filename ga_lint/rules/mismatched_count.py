"""GA106: see rules/GA106-mismatched-count.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import Answer, Factor, FactorKind, FileFacts, Level, LossSite, Place, Reduction
from ga_lint.project import Project
from ga_lint.rules._fixes import sum_fix
from ga_lint.rules._loops import Loss, confidence, losses, trace
from ga_lint.rules._matched import match_fix
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule

_COUNTS = (FactorKind.LOCAL_COUNT, FactorKind.WINDOW_COUNT, FactorKind.GLOBAL_COUNT)
_POSITIONS = re.compile(r"att(entio)?n_?mask", re.IGNORECASE)
_FROM_SECOND = re.compile(r"\[[^\[\]]*\b[1-9]\d*:")  # `labels[..., 1:]`


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
            if why is None or factor.place in reported:
                continue
            reported.add(factor.place)
            yield _finding(loss, factor, *why)


def _mismatch(loss: Loss, factor: Factor, ragged: Answer) -> tuple[str, Confidence] | None:
    """What the divisor counts instead, and how sure that is."""
    site = loss.term.site
    if factor.counts_scalar:
        return "the loss itself, which is one number, so it is always 1", Confidence.CERTAIN
    if factor.power > 0 or site.reduction is not Reduction.SUM or site.level is Level.SAMPLE:
        return None
    if factor.kind is FactorKind.RUNNING_COUNT:
        return "the targets of the window so far, so that each micro-batch has a divisor of its own", Confidence.CERTAIN
    if factor.kind in _COUNTS:
        return _other_positions(site, factor.counted, factor.shifted, ragged)
    return None


def _other_positions(site: LossSite, counted: str, shifted: bool, ragged: Answer) -> tuple[str, Confidence] | None:
    """Which positions the count has that the loss does not sum."""
    if ".numel()" in counted and ragged is Answer.YES:
        return "every position, also those whose targets do not count", Confidence.LIKELY
    if site.masked:
        return None  # the mask of the loss may be the one that is counted
    attention = bool(_POSITIONS.search(counted))
    if site.shifted and not shifted and not _FROM_SECOND.search(counted):
        # timid: where the first label of each row is masked, as in chat data, labels are counted alike
        known = Confidence.LIKELY if attention else Confidence.POSSIBLE
        return "the first position of each row too, which nothing predicts", known
    if attention and ragged is Answer.YES:
        return "every position that is no padding, also those whose targets do not count", Confidence.POSSIBLE
    return None


def _fix(loss: Loss, factor: Factor) -> Fix:
    """Count what the loss sums, where it is counted; what is counted in the loop itself, a window ahead."""
    site = loss.term.site
    if factor.kind in _COUNTS:
        places = [factor.counted_at]
        if site.rescaled_by and _other_positions(site, site.rescaled_by, site.rescaled_shifted, Answer.YES):
            places.append(site.rescaled_at)  # the mean's own count, which takes it back to a sum
        return match_fix(loss, places)
    if site.reduction is Reduction.SUM:
        return sum_fix(loss, factor)
    if loss.by_user and factor.place.path == loss.window.loop.path:
        return FixRequest(
            "drop-division", FixTier.SAFE, "drop a division by 1", (("division", factor.place.span),)
        ), None
    return None, "the mean needs a division by the steps in its place, which is in no other line"


def _finding(loss: Loss, factor: Factor, why: str, known: Confidence) -> Finding:
    fix, refusal = _fix(loss, factor)
    return Finding(
        code="GA106",
        name="mismatched-count",
        severity=Severity.ERROR,
        confidence=confidence(loss, known),
        message=f"the loss is divided by `{factor.text}`: that counts {why}",
        span=loss.pointed_at(factor.place).span,
        label="another count than the loss's",
        effect=Effect(EffectKind.SCALE, "gradients are scaled by targets / count", "targets/count"),
        scope=loss.window.scope,
        trace=trace(loss, loss.elsewhere(factor)),
        fix=fix,
        fix_refusal=refusal,
    )
