"""GA221: see rules/GA221-withheld-num-items.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, Finding, Severity
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, Answer, FileFacts, LossTerm, Override
from ga_lint.knowledge.trainer_law import Form, Outcome, Site, Usage, outcome
from ga_lint.project import Project
from ga_lint.rules._count_passed import accept_fix, normalised
from ga_lint.rules._effects import effect_of
from ga_lint.rules._overrides import inside, returned_terms
from ga_lint.rules.registry import rule

_SCALED = "loss_is_scaled_for_ga is set to True"  # of the division by the count; it does not have one passed


@rule(
    "GA221",
    "withheld-num-items",
    "an override divides by the count, which the Trainer keeps back for the model that it trains",
    severity=Severity.WARNING,
    needles=LOSS_OVERRIDE_WORDS,
)
def withheld_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if not _relies_on_count(override):
            continue
        scaled = True if override.opted_out else None
        usage = Usage(Site.OVERRIDE, Form.COUNT, accepted=False, scaled=scaled, guarded=not override.unguarded)
        result = outcome(usage, project.release)
        counted = [term for _, term in returned_terms(override) if normalised(term) is not None]
        if counted and not result.right:
            yield _finding(override, counted, result, effect_of(usage, facts, project), project)


def _relies_on_count(override: Override) -> bool:
    """Does the Trainer keep the count back, with nobody having asked for that?"""
    if override.method != "compute_loss" or override.own_step or override.sample_base or override.counts_itself:
        return False
    withheld = override.accepted is Answer.NO and override.labels_in_batch is Answer.YES
    return withheld and all(step.message == _SCALED for step in override.opted_out)


def _finding(override: Override, counted: list[LossTerm], result: Outcome, effect: Effect, project: Project) -> Finding:
    by = normalised(counted[0])
    assert by is not None
    here = by.place if inside(by.place, override.function) else override.name
    fix, refusal = accept_fix(override, project)
    consequence = "passes no count" if result.mean_of_means else "divides by the steps as well"
    model = override.models[0].message
    return Finding(
        code="GA221",
        name="withheld-num-items",
        severity=Severity.WARNING,
        confidence=min(override.confidence, Confidence.LIKELY),
        message=f"the loss is divided by the count, but {model}, so the Trainer {consequence}",
        span=here.span,
        label="divided by the count" if here == by.place else "it divides by the count",
        effect=effect,
        scope=override.scope,
        trace=(*override.models, by.place.as_step(by.how)),
        fix=fix,
        fix_refusal=refusal,
    )
