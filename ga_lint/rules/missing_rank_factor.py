"""GA204: see rules/GA204-missing-rank-factor.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ga_lint.diagnostics import Effect, Finding, FixRequest, FixTier, Severity, Step
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, FactorKind, FileFacts, LossTerm, Override, Place, Returned
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._override_fixes import delegate_fix
from ga_lint.rules._overrides import SUPER, Fix, inside, returned_terms, trusts_count
from ga_lint.rules.registry import rule


@dataclass(frozen=True, slots=True)
class _Normalised:
    """Where the count divides: in this override, in a helper, or in a callee that was handed the count."""

    place: Place
    how: str
    division: bool


@rule(
    "GA204",
    "missing-rank-factor",
    "the count over all ranks divides, and nobody multiplies by the ranks",
    severity=Severity.ERROR,
    needles=LOSS_OVERRIDE_WORDS,
)
def missing_rank_factor(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.averages_tokens is False:
        return
    effect = None
    for override in facts.overrides:
        if override.method != "compute_loss" or not trusts_count(override) or override.local_average:
            continue
        reported: set[Place] = set()
        for returned, term in returned_terms(override):
            by = _normalised(term)
            if by is None:
                continue
            place = by.place if inside(by.place, override.function) else returned.place
            if place not in reported:
                reported.add(place)
                effect = effect or effect_of(Usage(Site.OVERRIDE, Form.COUNT, ranks=True), facts, project)
                yield _finding(override, returned, term, place, by, effect)


def _normalised(term: LossTerm) -> _Normalised | None:
    """The division by the Trainer's count, where nothing multiplies by the ranks afterwards."""
    if term.site.callee == SUPER or term.power_of(FactorKind.WORLD) > 0:
        return None
    division = next((f for f in term.factors_of(FactorKind.GLOBAL_COUNT) if f.power < 0), None)
    if division is not None:
        return _Normalised(division.place, f"divided by `{division.text}`", True)
    if term.site.counted:
        return _Normalised(term.site.call, f"{term.site.callee} is handed the count and divides by it", False)
    return None


def _fix(override: Override, term: LossTerm, by: _Normalised) -> Fix:
    if not by.division and term.site.callee.endswith("own loss"):
        return delegate_fix(override, [term])  # super() does both
    if not by.division:
        return None, "what divides is called here, and the factor may be owed elsewhere"
    if not inside(by.place, override.function):
        return _fix_where_handed(term)
    request = FixRequest("rank-factor", FixTier.SAFE, "multiply by the ranks", (("division", by.place.span),))
    return request, None


def _fix_where_handed(term: LossTerm) -> Fix:
    """A helper divides: the factor goes behind its call, since others may call it too."""
    handed = term.site.divisor
    if handed is None or handed.in_pair or not term.site.via:
        return None, "the division stands in a helper that others may call"
    return FixRequest("rank-factor", FixTier.SAFE, "multiply by the ranks", (("handed", handed.place.span),)), None


def _finding(
    override: Override, returned: Returned, term: LossTerm, place: Place, by: _Normalised, effect: Effect
) -> Finding:
    fix, refusal = _fix(override, term, by)
    return Finding(
        code="GA204",
        name="missing-rank-factor",
        severity=Severity.ERROR,
        confidence=override.confidence if by.division else min(override.confidence, term.site.confidence),
        message="the loss is divided by the count over all ranks, and the ranks' average divides once more",
        span=place.span,
        label="divided by the count of all ranks" if place == by.place else "returned without the rank factor",
        effect=effect,
        scope=override.scope,
        trace=(
            Step(f"{override.cls} reaches {override.base}", override.name.path, override.name.span),
            Step(by.how, by.place.path, by.place.span),
            Step("returned without the rank factor that super() would apply", returned.place.path, returned.place.span),
        ),
        fix=fix,
        fix_refusal=refusal,
    )
