"""GA209: see rules/GA209-division-by-steps.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Finding, FixRequest, FixTier, Severity
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
from ga_lint.rules._overrides import returned_terms, says
from ga_lint.rules.registry import rule

_OPTED_OUT = "model_accepts_loss_kwargs is set to False"
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
        for _, term in returned_terms(one):
            division = next((f for f in term.factors_of(FactorKind.STEPS) if f.power < 0), None)
            if division is None or division.place in seen or division.place.path != facts.path:
                continue
            other = _other_division(one, term, division)
            if other is not None:
                seen.add(division.place)
                yield _finding(one, term, division, other, facts)


def _other_division(one: Override | LossFunction, term: LossTerm, division: Factor) -> str | None:
    """What else divides by the window, if anything does."""
    if term.uses_count and term.power_of(FactorKind.STEPS) < 0:
        return "the window's count divides the loss already"
    if isinstance(one, Override) and says(one, _OPTED_OUT) and _REAL_WINDOW not in division.text:
        alone = not any("loss_is_scaled_for_ga" in s.message or "string" in s.message for s in one.opted_out)
        if alone and not one.sample_base:
            return "the Trainer of a class that opts out divides by the steps itself"
    return None


def _finding(one: Override | LossFunction, term: LossTerm, division: Factor, other: str, facts: FileFacts) -> Finding:
    inside = one.function.span.contains(division.place.span)
    fix = FixRequest("drop-division", FixTier.UNSAFE, "drop the division", (("division", division.place.span),))
    return Finding(
        code="GA209",
        name="division-by-steps",
        severity=Severity.ERROR,
        confidence=min(one.confidence, term.site.confidence, Confidence.CERTAIN),
        message=f"the loss is divided by `{division.text}`, and {other}",
        span=division.place.span,
        label="divided by the steps",
        effect=by_steps(-1, facts),
        scope=one.scope,
        trace=(
            one.name.as_step(other),
            division.place.as_step(f"divided by `{division.text}`"),
        ),
        fix=fix if inside else None,
        fix_refusal=None if inside else "the division stands in a helper that others may call",
    )
