"""GA202: see rules/GA202-ignored-num-items.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, Answer, FileFacts, Level, LossTerm, Override, Place, Returned
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._override_fixes import override_fix
from ga_lint.rules._overrides import (
    SUPER,
    even_terms,
    is_plain_mean,
    loss_trace,
    origin,
    receives_count,
    trusts_count,
)
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule

_USAGE = Usage(Site.OVERRIDE, Form.MEAN)


@rule(
    "GA202",
    "ignored-num-items",
    "an override takes the count and returns a mean all the same",
    severity=Severity.ERROR,
    needles=LOSS_OVERRIDE_WORDS,
)
def ignored_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if override.method != "compute_loss" or not receives_count(override) or override.own_step:
            continue
        if not trusts_count(override) or override.labels_in_batch is not Answer.YES:
            continue
        yield from _findings(override, facts, project)


def _findings(override: Override, facts: FileFacts, project: Project) -> Iterator[Finding]:
    means = [(r, t) for r, t in even_terms(override) if is_plain_mean(t) and t.site.callee != SUPER]
    effect = effect_of(_USAGE, facts, project)
    reported: set[Place] = set()
    for returned, term in means:
        place = origin(override, returned, term)
        if place not in reported and (effect.kind is not EffectKind.WEIGHTS or _may_be_of_tokens(term)):
            reported.add(place)
            fix = override_fix(override, [one for _, one in means], project)
            yield _finding(override, returned, term, fix, effect)


def _may_be_of_tokens(term: LossTerm) -> bool:
    """Where a release divides once more, only the weights are left to be wrong, and those of samples are alike."""
    return term.site.level is Level.TOKEN or (term.site.level is Level.UNKNOWN and term.site.is_models_own)


def _finding(override: Override, returned: Returned, term: LossTerm, fix: Fix, effect: Effect) -> Finding:
    return Finding(
        code="GA202",
        name="ignored-num-items",
        severity=Severity.ERROR,
        confidence=min(override.confidence, term.site.confidence),
        message="a mean over this micro-batch is returned although the Trainer passed the window's count "
        "and will not divide by the steps",
        span=origin(override, returned, term).span,
        label="reduced to a mean here",
        effect=effect,
        scope=override.scope,
        trace=loss_trace(override, term, returned),
        fix=fix[0],
        fix_refusal=fix[1],
    )
