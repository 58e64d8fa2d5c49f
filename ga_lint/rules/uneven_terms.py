"""GA213: see rules/GA213-uneven-terms.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import (
    ADDED_TERM,
    FORWARD_WORDS,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    FileFacts,
    LossTerm,
    Override,
    Returned,
)
from ga_lint.project import Project
from ga_lint.rules._effects import steps_of, too_large
from ga_lint.rules._override_fixes import uneven_fix
from ga_lint.rules._overrides import Followed, handed_count, uneven_terms
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule


@rule(
    "GA213",
    "uneven-terms",
    "one term of the loss is divided by the count, another is a mean over the micro-batch",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *LOSS_FUNCTION_WORDS, *FORWARD_WORDS),
)
def uneven(facts: FileFacts, project: Project) -> Iterator[Finding]:
    for one in handed_count(facts, project):
        for returned, term in uneven_terms(one):
            yield _finding(one, returned, term, _effect(one, term, facts), _fix(one, term, project))


def _effect(one: Followed, term: LossTerm, facts: FileFacts) -> Effect:
    by_ranks = not isinstance(one, Override)  # the Trainer multiplies what the others return
    message = f"this term's gradient is {too_large(steps_of(facts), by_ranks=by_ranks)}"
    return Effect(
        EffectKind.SCALE,
        message,
        "GAS*N" if by_ranks else "GAS",
        None if by_ranks else steps_of(facts),
        on_ranks=by_ranks,
        mean_of_means=term.site.callee != ADDED_TERM,
    )


def _fix(one: Followed, term: LossTerm, project: Project) -> Fix:
    if not isinstance(one, Override):
        return None, (
            "a term over tokens joins the sum, one over the whole forward is divided by the steps: which it is "
            "decides its divisor"
        )
    beside = [other for returned in one.returns for terms in returned.sums if term in terms for other in terms]
    return uneven_fix(one, term, [other for other in beside if other != term], project)


def _finding(one: Followed, returned: Returned, term: LossTerm, effect: Effect, fix: Fix) -> Finding:
    reduced, added = term.site.reduced, term.site.callee == ADDED_TERM
    what = "comes in with every micro-batch" if added else "is a mean over the micro-batch"
    place = reduced if reduced.path == one.function.path else returned.place
    return Finding(
        code="GA213",
        name="uneven-terms",
        severity=Severity.ERROR,
        confidence=min(one.confidence, term.site.confidence),
        message=f"this term {what}, and it is added to one that the window's count divides",
        span=place.span,
        label="added once for every micro-batch" if added else "reduced to a mean here",
        effect=effect,
        scope=one.scope,
        trace=(
            *term.site.via,
            reduced.as_step("comes in here" if added else "reduced to a mean here"),
            returned.place.as_step("returned in one sum with a term that uses the count"),
        ),
        fix=fix[0],
        fix_refusal=fix[1],
    )
