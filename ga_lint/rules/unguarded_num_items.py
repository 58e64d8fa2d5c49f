"""GA212: see rules/GA212-unguarded-num-items.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import (
    ALL_OFF,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    Answer,
    Factor,
    FactorKind,
    FileFacts,
    LossFunction,
    LossRole,
    LossTerm,
    Override,
    Place,
)
from ga_lint.project import Project
from ga_lint.rules._overrides import COUNT, inside, returned_terms, says
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule


@rule(
    "GA212",
    "unguarded-num-items",
    "the loss is divided by a count that the Trainer does not always pass",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *LOSS_FUNCTION_WORDS),
)
def unguarded_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    overrides = [one for one in facts.overrides if one.method == "compute_loss" and not one.own_step]
    # A class with a function for the Trainer to call is passed a count for every model, one that counts itself always.
    overrides = [one for one in overrides if says(one, ALL_OFF) is None and not one.counts_itself]
    followed: list[Override | LossFunction] = [*overrides, *facts.loss_functions]
    for one in followed:
        if one.unguarded:
            yield _finding(one, one.unguarded[0], project)


def _without_count(one: Override | LossFunction, project: Project) -> str:
    """When there is none."""
    if isinstance(one, LossFunction) and one.role is not LossRole.ARGUMENT:
        return "a model that is called outside of a Trainer is passed none"
    before = "" if all(row.eval_count for row in project.releases) else "in evaluation before transformers 4.57.1, "
    return f"there is none {before}for a model whose forward takes no **kwargs and for batches without `labels`"


def _confidence(one: Override | LossFunction, project: Project) -> Confidence:
    """Where evaluation passes a count, only other models and batches are without."""
    outside = isinstance(one, LossFunction) and one.role is not LossRole.ARGUMENT
    evaluated = all(row.eval_count for row in project.releases)
    withheld = isinstance(one, Override) and one.accepted is Answer.NO
    sure = Confidence.POSSIBLE if evaluated and not outside and not withheld else Confidence.LIKELY
    return min(sure, one.confidence)


def _fix(one: Override | LossFunction, place: Place) -> Fix:
    """Count this micro-batch's own targets where there is no count: the sum over them is the mean."""
    found = _division(one, place)
    if found is None or not inside(place, one.function):
        return None, "what the sum runs over could not be followed"
    term, factor = found
    site = term.site
    if term.power_of(FactorKind.WORLD):
        return None, "without a count the factor of the ranks has to be left out as well"
    if not factor.text.isidentifier() or not site.labels or site.masked or not site.ignore_index:
        return None, "which targets the sum runs over could not be followed"
    form = "branch" if isinstance(one, Override) else "count"
    options = (("count", factor.text), ("targets", site.labels), ("ignore_index", site.ignore_index), ("form", form))
    targets = (("division", place.span),)
    return FixRequest("guard-count", FixTier.SAFE, "fall back to the mean", targets, options), None


def _division(one: Override | LossFunction, place: Place) -> tuple[LossTerm, Factor] | None:
    for _, term in returned_terms(one):
        for factor in term.factors_of(FactorKind.GLOBAL_COUNT):
            if factor.place == place:
                return term, factor
    return None


def _finding(one: Override | LossFunction, place: Place, project: Project) -> Finding:
    fix, refusal = _fix(one, place)
    why = _without_count(one, project)
    return Finding(
        code="GA212",
        name="unguarded-num-items",
        severity=Severity.ERROR,
        confidence=_confidence(one, project),
        message=f"`{COUNT}` is used as a number, and it can be None: {why}",
        span=place.span,
        label="None here is a TypeError",
        effect=Effect(EffectKind.TYPE_ERROR, "the step stops with a TypeError where there is no count"),
        scope=one.scope,
        trace=(
            one.name.as_step("the count arrives here, or None"),
            place.as_step("computed with, whether there is one or not"),
        ),
        fix=fix,
        fix_refusal=refusal,
    )
