"""GA206: see rules/GA206-unnormalised-loss-function.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import (
    LOSS_FUNCTION_WORDS,
    FactorKind,
    FileFacts,
    LossFunction,
    LossRole,
    LossTerm,
    Place,
    Reduction,
)
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._function_fixes import function_fix
from ga_lint.rules._overrides import even_terms, is_plain_mean
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule

_CRASH = Effect(EffectKind.TYPE_ERROR, "training stops with TypeError: unexpected keyword 'num_items_in_batch'")
_WHO = {
    LossRole.ARGUMENT: "the Trainer calls this with the window's count and never divides what it returns",
    LossRole.MODEL: "a model calls this with the count that the Trainer passed",
    LossRole.REGISTERED: "whoever looks this loss up trains with it",
}


@rule(
    "GA206",
    "unnormalised-loss-function",
    "a loss function takes no count, ignores it, or returns a mean",
    severity=Severity.ERROR,
    needles=LOSS_FUNCTION_WORDS,
)
def unnormalised_loss_function(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for function in facts.loss_functions:
        yield from _findings(facts, function, project)


def _findings(facts: FileFacts, function: LossFunction, project: Project) -> Iterator[Finding]:
    takes_count = function.parameter.name is not None or function.parameter.keywords is not None
    wrong = [(r.place, t) for r, t in even_terms(function) if _is_wrong(t, takes_count)]
    places: dict[Place, list[LossTerm]] = {}
    for place, term in wrong:
        places.setdefault(_origin(facts, function, term, place), []).append(term)
    if not places and not takes_count and function.role is LossRole.ARGUMENT:
        places[_at_name(facts, function)] = []
    for place, terms in places.items():
        crashes = _crashes(function, takes_count)
        effect = _CRASH if crashes else effect_of(_usage(function), facts, project)
        yield _finding(function, place, terms, [term for _, term in wrong], effect)


def _is_wrong(term: LossTerm, takes_count: bool) -> bool:
    if is_plain_mean(term):
        return True
    summed = term.site.reduction is Reduction.SUM and not term.site.counted and bool(term.factors)
    return not takes_count and summed and not term.power_of(FactorKind.GLOBAL_COUNT)


def _crashes(function: LossFunction, takes_count: bool) -> bool:
    return not takes_count and function.role is not LossRole.REGISTERED


def _origin(facts: FileFacts, function: LossFunction, term: LossTerm, returned: Place) -> Place:
    """The reduction, else the return, else the place in this file where the function is handed over."""
    for place in (term.site.reduced, returned):
        if place.path == facts.path and function.function.span.contains(place.span):
            return place
    return _at_name(facts, function)


def _at_name(facts: FileFacts, function: LossFunction) -> Place:
    return function.name if function.name.path == facts.path else function.handed_over


def _usage(function: LossFunction) -> Usage:
    by_trainer = function.role is LossRole.ARGUMENT
    return Usage(Site.FUNCTION if by_trainer else Site.LOSS_FUNCTION, Form.MEAN, ranks=True)


def _finding(
    function: LossFunction, place: Place, terms: list[LossTerm], wrong: list[LossTerm], effect: Effect
) -> Finding:
    fix, refusal = _fix(function, place, wrong)
    steps = [function.handed_over.as_step(_WHO[function.role])]
    for term in terms[:1]:
        steps += [*term.site.via, term.site.reduced.as_step("reduced to a mean here")]
    message = (
        f"`{function.called}` has no parameter for the count that it is called with"
        if effect is _CRASH
        else f"`{function.called}` returns a mean over this micro-batch, and nobody divides it by the steps"
    )
    return Finding(
        code="GA206",
        name="unnormalised-loss-function",
        severity=Severity.ERROR,
        confidence=min([function.confidence, *(term.site.confidence for term in terms)], default=Confidence.LIKELY),
        message=message,
        span=place.span,
        label="reduced to a mean here" if terms else "takes no count",
        effect=effect,
        scope=function.scope,
        trace=tuple(steps),
        fix=fix,
        fix_refusal=refusal,
    )


def _fix(function: LossFunction, place: Place, terms: list[LossTerm]) -> Fix:
    """Divide the sums by the count, inside the function."""
    if place.path != function.function.path or not function.function.span.contains(place.span):
        return None, "the function is defined in another file"
    return function_fix(function, terms)
