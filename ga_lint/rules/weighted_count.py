"""GA216: see rules/GA216-weighted-count.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import (
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    Factor,
    FactorKind,
    FileFacts,
    LossTerm,
    Place,
    Reduction,
)
from ga_lint.project import Project
from ga_lint.rules._overrides import Followed, returned_terms, shown_at
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
    followed: list[Followed] = [*overrides, *facts.loss_functions, *facts.forwards]
    for one in followed:
        seen: set[Place] = set()
        for returned, term in returned_terms(one):
            division, site = term.count_division, term.site
            weighted = site.weighted and site.reduction is Reduction.SUM and term.power_of(FactorKind.GLOBAL_COUNT) < 0
            if division is not None and weighted and site.call not in seen:
                seen.add(site.call)
                here = shown_at(facts.path, one, site.call, division.place, returned.place)
                yield _finding(one, term, division, here)


def _finding(one: Followed, term: LossTerm, division: Factor, here: Place) -> Finding:
    call = term.site.call
    return Finding(
        code="GA216",
        name="weighted-count",
        severity=Severity.ERROR,
        confidence=min(one.confidence, term.site.confidence),
        message="a sum with class weights is divided by the number of targets; its mean divides by their weights",
        span=here.span,
        label="weighted by class and summed here",
        effect=Effect(
            EffectKind.SCALE, "gradients are the mean weight of the targets times what they should be", "weight"
        ),
        scope=one.scope,
        trace=(
            call.as_step("summed with class weights"),
            division.place.as_step(f"divided by `{division.text}`"),
        ),
        fix_refusal="count the weights instead: `_get_num_items_in_batch` of the Trainer (since 4.57.1) may "
        "return the total weight of the window's targets over all ranks",
    )
