"""GA209: see rules/GA209-division-by-steps.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import (
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    Factor,
    FactorKind,
    FileFacts,
    LossFunction,
    LossTerm,
    Override,
    Place,
)
from ga_lint.project import Project
from ga_lint.rules._effects import by_steps
from ga_lint.rules._overrides import inside, returned_terms, says, shown_at
from ga_lint.rules.registry import rule

_OPTED_OUT = "model_accepts_loss_kwargs is set to False"
_COUNTED = "the window's count divides the loss already"
_REAL_WINDOW = "current_gradient_accumulation_steps"  # who writes this knows what the Trainer does


@rule(
    "GA209",
    "division-by-steps",
    "the loss is divided by the steps although the count or the Trainer already does that",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *LOSS_FUNCTION_WORDS),
)
def division_by_steps(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    overrides = [one for one in facts.overrides if one.method == "compute_loss" and not one.own_step]
    followed: list[Override | LossFunction] = [*overrides, *facts.loss_functions]
    for one in followed:
        seen: set[Place] = set()
        for returned, term in returned_terms(one):
            division = next((f for f in term.factors_of(FactorKind.STEPS) if f.power < 0), None)
            if division is None or division.place in seen:
                continue
            other = _other_division(one, term, division)
            if other is not None:
                seen.add(division.place)
                here = shown_at(facts.path, one, division.place, returned.place)
                known = min(one.confidence, term.site.confidence)
                yield _finding(one, known, division, other, here, by_steps(-1, facts))


def _other_division(one: Override | LossFunction, term: LossTerm, division: Factor) -> str | None:
    """What else divides by the window, if anything does."""
    if term.uses_count and term.power_of(FactorKind.STEPS) < 0:
        return _COUNTED
    if isinstance(one, Override) and says(one, _OPTED_OUT) and _REAL_WINDOW not in division.text:
        alone = not any("loss_is_scaled_for_ga" in s.message or "string" in s.message for s in one.opted_out)
        if alone and not one.sample_base:
            return "the Trainer of a class that opts out divides by the steps itself"
    return None


def _finding(
    one: Override | LossFunction, known: Confidence, division: Factor, other: str, here: Place, effect: Effect
) -> Finding:
    owned = here == division.place and inside(division.place, one.function)
    targets = (("division", division.place.span),)
    options = (("shows", "part" if other == _COUNTED else "whole"),)
    fix = FixRequest("drop-division", FixTier.UNSAFE, "drop the division", targets, options)
    return Finding(
        code="GA209",
        name="division-by-steps",
        severity=Severity.ERROR,
        confidence=known,
        message=f"the loss is divided by `{division.text}`, and {other}",
        span=here.span,
        label="divided by the steps",
        effect=effect,
        scope=one.scope,
        trace=(
            one.name.as_step(other),
            division.place.as_step(f"divided by `{division.text}`"),
        ),
        fix=fix if owned else None,
        fix_refusal=None if owned else "the division stands in a helper that others may call",
    )
