"""GA204: see rules/GA204-missing-rank-factor.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, Finding, Severity
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, FileFacts, LossTerm, Override, Place, Returned
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._count_passed import Normalised, normalised, owes_factor, rank_factor_fix
from ga_lint.rules._effects import effect_of
from ga_lint.rules._overrides import inside, returned_terms, trusts_count
from ga_lint.rules.registry import rule


@rule(
    "GA204",
    "missing-rank-factor",
    "the count over all ranks divides, and nobody multiplies by the number of ranks",
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
            by = normalised(term) if owes_factor(term) else None
            if by is None:
                continue
            place = by.place if inside(by.place, override.function) else returned.place
            if place not in reported:
                reported.add(place)
                effect = effect or effect_of(Usage(Site.OVERRIDE, Form.COUNT, ranks=True), facts, project)
                yield _finding(override, returned, term, place, by, effect)


def _finding(
    override: Override, returned: Returned, term: LossTerm, place: Place, by: Normalised, effect: Effect
) -> Finding:
    fix, refusal = rank_factor_fix(override, term, by)
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
            override.name.as_step(f"{override.cls} reaches {override.base}"),
            by.place.as_step(by.how),
            returned.place.as_step("returned without the rank factor that super() would apply"),
        ),
        fix=fix,
        fix_refusal=refusal,
    )
