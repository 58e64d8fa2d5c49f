"""GA205: see rules/GA205-misplaced-rank-factor.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import (
    FORWARD_WORDS,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    SUPERS_LOSS,
    Factor,
    FactorKind,
    FileFacts,
    Level,
    LossFunction,
    LossRole,
    LossTerm,
    ModelForward,
    Override,
    Place,
    Reduction,
)
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._overrides import inside, returned_terms, shown_at
from ga_lint.rules.registry import rule

_Followed = LossFunction | ModelForward | Override


@rule(
    "GA205",
    "misplaced-rank-factor",
    "what the Trainer multiplies by the number of ranks is multiplied by it once more",
    severity=Severity.ERROR,
    needles=(*LOSS_FUNCTION_WORDS, *FORWARD_WORDS, *LOSS_OVERRIDE_WORDS),
)
def misplaced_rank_factor(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.averages_tokens is False:
        return
    functions: list[_Followed] = [*facts.loss_functions, *facts.forwards, *facts.overrides]
    for function in functions:
        seen: set[Place] = set()
        for returned, term in returned_terms(function):
            factor = _rank_factor(function, term)
            if isinstance(function, Override) and term.site.callee != SUPERS_LOSS:
                continue  # a sum of its own owes the factor
            if factor is not None and factor.place not in seen:
                seen.add(factor.place)
                here = shown_at(facts.path, function, factor.place, returned.place)
                yield _finding(function, term, factor, here, effect_of(_usage(function), facts, project))


def _rank_factor(function: _Followed, term: LossTerm) -> Factor | None:
    """The multiplication by the number of ranks of a loss that the count divides, or of a mean over tokens."""
    if term.power_of(FactorKind.WORLD) <= 0:
        return None
    if not term.uses_count and (isinstance(function, Override) or not _is_token_mean(term)):
        return None
    return next(factor for factor in term.factors_of(FactorKind.WORLD) if factor.power > 0)


def _is_token_mean(term: LossTerm) -> bool:
    """Not one over pairs that were gathered from all ranks, which owes the factor."""
    return term.site.reduction is Reduction.MEAN and term.site.level is Level.TOKEN


def _usage(function: _Followed) -> Usage:
    site = Site.SUPER_WITH_COUNT if isinstance(function, Override) else Site.MODEL
    if isinstance(function, LossFunction) and function.role is LossRole.ARGUMENT:
        site = Site.FUNCTION
    return Usage(site, Form.COUNT_TIMES_RANKS, ranks=True)


def _finding(function: _Followed, term: LossTerm, factor: Factor, here: Place, effect: Effect) -> Finding:
    owned = here == factor.place and inside(factor.place, function.function)
    targets = (("product", factor.place.span),)
    message = "the loss is multiplied by the number of ranks here, and the Trainer multiplies what comes back again"
    why = "the Trainer multiplies what this returns itself"
    if not isinstance(function, Override) and not term.uses_count:
        message = "the loss is multiplied by the number of ranks here, and it is a mean that owes no such factor"
        why = "the average over ranks leaves a mean as it is"
    elif isinstance(function, Override) and function.opted_out:
        message = "the loss is multiplied by the number of ranks here, and it is a mean that owes no such factor"
        why = "the class opts out of the count, so super() gives a mean, which the ranks' average leaves as it is"
    elif isinstance(function, Override):
        message = "the loss is multiplied by the number of ranks here, and super() has multiplied it already"
        why = "where the count is passed, super().compute_loss multiplies by the number of ranks itself"
    fix = FixRequest("drop-factor", FixTier.SAFE, "drop the factor", targets, (("factor", factor.text),))
    return Finding(
        code="GA205",
        name="misplaced-rank-factor",
        severity=Severity.ERROR,
        confidence=min(function.confidence, term.site.confidence),
        message=message,
        span=here.span,
        label="multiplied by the number of ranks",
        effect=effect,
        scope=function.scope,
        trace=(
            function.name.as_step(why),
            factor.place.as_step(f"multiplied by `{factor.text}`"),
        ),
        fix=fix if owned else None,
        fix_refusal=None if owned else "the factor stands in a helper that others may call",
    )
