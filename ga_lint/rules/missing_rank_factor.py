"""GA204: see rules/GA204-missing-rank-factor.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, FixRequest, FixTier, Severity, Step
from ga_lint.facts.model import Factor, FactorKind, FileFacts, LossTerm, Override, Place, Returned
from ga_lint.project import Project
from ga_lint.rules._overrides import SUPER, returned_terms, trusts_count
from ga_lint.rules.registry import rule


@rule(
    "GA204",
    "missing-rank-factor",
    "the count over all ranks divides, and nobody multiplies by the ranks",
    severity=Severity.ERROR,
    needles=(b"def compute_loss",),
)
def missing_rank_factor(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.averages_tokens is False:
        return
    for override in facts.overrides:
        if override.method != "compute_loss" or not trusts_count(override) or override.local_average:
            continue
        reported: set[Place] = set()
        for returned, term in returned_terms(override):
            division = _division(term)
            if division is not None and division.place not in reported:
                reported.add(division.place)
                yield _finding(override, returned, term, division)


def _division(term: LossTerm) -> Factor | None:
    """The division by the Trainer's count, where nothing multiplies by the ranks afterwards."""
    if term.site.callee == SUPER or term.power_of(FactorKind.WORLD) > 0:
        return None
    return next((f for f in term.factors_of(FactorKind.GLOBAL_COUNT) if f.power < 0), None)


def _finding(override: Override, returned: Returned, term: LossTerm, division: Factor) -> Finding:
    place = division.place if division.place.path == override.function.path else returned.place
    fix = None
    if place == division.place and override.function.span.contains(place.span):
        fix = FixRequest(
            "rank-factor",
            FixTier.SAFE,
            "multiply by the ranks",
            (("division", place.span),),
        )
    return Finding(
        code="GA204",
        name="missing-rank-factor",
        severity=Severity.ERROR,
        confidence=min(override.confidence, term.site.confidence),
        message="the loss is divided by the count over all ranks, and the ranks' average divides once more",
        span=place.span,
        label="divided by the count of all ranks",
        effect=Effect(EffectKind.SCALE, "on N ranks gradients are N times too small, and so is the eval loss", "1/N"),
        scope=override.scope,
        trace=(
            Step(f"{override.cls} reaches {override.base}", override.name.path, override.name.span),
            Step(f"divided by `{division.text}`", division.place.path, division.place.span),
            Step("returned without the rank factor that super() would apply", returned.place.path, returned.place.span),
        ),
        fix=fix,
        fix_refusal=None if fix else "the division stands in a helper that others may call",
    )
