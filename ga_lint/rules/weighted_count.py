"""GA216: see rules/GA216-weighted-count.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, Severity, Step
from ga_lint.facts.model import (
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    FactorKind,
    FileFacts,
    LossFunction,
    LossTerm,
    ModelForward,
    Override,
    Place,
    Reduction,
)
from ga_lint.project import Project
from ga_lint.rules._overrides import returned_terms
from ga_lint.rules.registry import rule


@rule(
    "GA216",
    "weighted-count",
    "a class-weighted sum is divided by a plain count of targets",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *LOSS_FUNCTION_WORDS),
)
def weighted_count(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    overrides = [one for one in facts.overrides if not one.counts_itself]
    followed: list[Override | LossFunction | ModelForward] = [*overrides, *facts.loss_functions, *facts.forwards]
    for one in followed:
        seen: set[Place] = set()
        for _, term in returned_terms(one):
            if _is_weighted(term) and term.site.call not in seen and term.site.call.path == facts.path:
                seen.add(term.site.call)
                yield _finding(one, term)


def _is_weighted(term: LossTerm) -> bool:
    summed = term.site.weighted and term.site.reduction is Reduction.SUM
    return summed and term.power_of(FactorKind.GLOBAL_COUNT) < 0


def _finding(one: Override | LossFunction | ModelForward, term: LossTerm) -> Finding:
    call = term.site.call
    division = next(f for f in term.factors_of(FactorKind.GLOBAL_COUNT) if f.power < 0)
    return Finding(
        code="GA216",
        name="weighted-count",
        severity=Severity.ERROR,
        confidence=min(one.confidence, term.site.confidence),
        message="a sum with class weights is divided by the number of targets; its mean divides by their weights",
        span=call.span,
        label="weighted by class and summed here",
        effect=Effect(
            EffectKind.SCALE, "gradients are the mean weight of the targets times what they should be", "weight"
        ),
        scope=one.scope,
        trace=(
            Step("summed with class weights", call.path, call.span),
            Step(f"divided by `{division.text}`", division.place.path, division.place.span),
        ),
        fix_refusal="count the weights instead: `_get_num_items_in_batch` of the Trainer (since 4.57.1) may "
        "return the total weight of the window's targets over all ranks",
    )
