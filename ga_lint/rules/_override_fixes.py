"""Which rewrite suits an override that leaves its loss undivided, or why is there none?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import HEADS_LOSS, FactorKind, Level, LossTerm, Override, Place, SuperCall
from ga_lint.project import Project
from ga_lint.rules._count_fixes import SEVERAL, count_fix, is_over_labels
from ga_lint.rules._count_passed import hand_on_fix, with_count_passed
from ga_lint.rules._delegate import delegate_fix
from ga_lint.rules._overrides import (
    SUPER,
    added_in,
    adds_elsewhere,
    dropped_calls,
    gathered_call,
    inside,
    is_plain_mean,
    is_undivided,
    plain_mean,
    returned_terms,
)
from ga_lint.rules._requests import ADDED, GATHERED, SCALED, SHAPED, Fix, for_release
from ga_lint.rules._step_fixes import runs_elsewhere, step_fix

ELSEWHERE = "backward runs in a function that it calls, where nothing would divide the loss once the count is taken"
RANKS = "the loss is multiplied by the number of ranks, which the Trainer does too: decide which of the two goes first"
_COEFFICIENTS = (FactorKind.CONSTANT, FactorKind.OTHER)


def override_fix(override: Override, terms: list[LossTerm], project: Project) -> Fix:
    """The rewrite that makes an override use the count: forward it, delegate, or divide its own sum."""
    if _is_shaped(override):
        return None, SHAPED
    if adds_elsewhere(override) and any(term.site.level is not Level.SAMPLE for term in terms):
        return None, ADDED
    calls = dropped_calls(override)
    if calls and _adds_terms(override) and (override.sample_base or override.opted_out):
        return (
            None,
            "the Trainer divides what this class returns, so the terms beside super()'s loss are its own to decide",
        )
    if calls:
        return forward_fix(override, calls[0], project)
    request, refusal = with_count_passed(_own_fix(override, terms), override, project)
    return (None if request is None else for_release(request, project)), refusal


def crash_fix(override: Override, project: Project) -> Fix:
    """The rewrite for an override that the Trainer cannot even call.

    Where the loss cannot be divided here, it is left to the Trainer, who divided it when this code was written.
    """
    if runs_elsewhere(override):
        return None, ELSEWHERE
    terms = [term for _, term in returned_terms(override)]
    if dropped_calls(override) and not _only_supers(override, terms):
        return None, "on another path the loss is not super()'s, and nothing would divide it once the count is taken"
    fix, refusal = override_fix(override, terms, project)
    if _times_ranks(terms):
        return None, RANKS
    if fix is not None or any(term.power_of(FactorKind.STEPS) for term in terms):  # the steps divide already
        return fix, refusal
    method = ("method", override.function.span)
    backward = override.backwards[0] if len(override.backwards) == 1 else None
    if backward is not None and is_undivided(override, backward):
        fix, refusal = step_fix(override, backward.place, plain_mean(backward), project)
        return fix and replace(fix, options=(*fix.options, ("take", "yes"))), refusal
    if override.method == "compute_loss":
        summary = "take the count and let the Trainer divide by the steps, as before 4.46"
        return FixRequest("opt-out", FixTier.UNSAFE, summary, (method,)), None
    return FixRequest("take-count", FixTier.SAFE, "take the third argument", (method,)), None


def _is_shaped(override: Override) -> bool:
    return any(term.is_shaped and term.site.level is not Level.SAMPLE for _, term in returned_terms(override))


def _only_supers(override: Override, terms: list[LossTerm]) -> bool:
    """Is every loss that it returns the base's, with or without terms beside it?"""
    if override.method == "training_step":
        return True
    sums = [one for returned in override.returns for one in returned.sums]
    known = not any(returned.partly or returned.terms is None for returned in override.returns)
    return bool(terms) and known and all(any(term.site.callee == SUPER for term in one) for one in sums)


def forward_fix(override: Override, call: SuperCall, project: Project) -> Fix:
    """Hand the count on. That a term super() knows nothing of is then divided by the steps is a choice.

    So is what becomes of a loss that code out of sight makes another of: it may add such a term.
    """
    if gathered_call(override, call):
        return None, GATHERED
    if _is_shaped(override):
        return None, SHAPED
    if any(map(_holds_token_mean, _sums_of_super(override))):
        return None, SEVERAL  # the steps are no divisor of a mean over tokens
    if _times_ranks(term for _, term in returned_terms(override) if term.site.callee == SUPER):
        return None, RANKS
    if call.unpacks:
        return None, "the call passes keyword arguments on already"
    alone = call.method == "training_step" or _returns_supers_alone(override)
    tier = FixTier.SAFE if alone else FixTier.UNSAFE
    targets = (("call", call.place.span), *added_in(override))
    request = FixRequest("forward-count", tier, "forward the count", targets)
    return for_release(request, project), None


def _sums_of_super(override: Override) -> list[tuple[LossTerm, ...]]:
    sums = [terms for returned in override.returns for terms in returned.sums]
    return [terms for terms in sums if any(term.site.callee == SUPER for term in terms)]


def _holds_token_mean(terms: Sequence[LossTerm]) -> bool:
    return any(one.site.callee != SUPER and one.site.level is Level.TOKEN and is_plain_mean(one) for one in terms)


def _returns_supers_alone(override: Override) -> bool:
    """Is all that it returns in sight, and nothing beside the base's loss?"""
    terms = [term for _, term in returned_terms(override)]
    return _only_supers(override, terms) and not _adds_terms(override)


def _adds_terms(override: Override) -> bool:
    return any(
        (len({term.site for term in returned.terms or ()}) > 1 or returned.added)
        and any(term.site.callee == SUPER for term in returned.terms or ())
        for returned in override.returns
    )


def _times_ranks(terms: Iterable[LossTerm]) -> bool:
    return any(term.power_of(FactorKind.WORLD) > 0 for term in terms)


def _own_fix(override: Override, terms: list[LossTerm]) -> Fix:
    heads = len(terms) == 1 and terms[0].site.callee == HEADS_LOSS and inside(terms[0].site.call, override.function)
    alike = bool(terms) and all(term.site.level is Level.SAMPLE for term in terms)
    if (heads or alike or all(term.site.is_models_own for term in terms)) and _times_ranks(terms):
        return None, RANKS
    if heads:
        return hand_on_fix(terms[0].site.call), None
    if alike:
        summary = "let the Trainer divide: model_accepts_loss_kwargs = False"
        return FixRequest("opt-out", FixTier.UNSAFE, summary, (("method", override.function.span),)), None
    if not terms:
        return None, "the loss that it returns could not be followed"
    if all(term.site.is_models_own for term in terms):
        return delegate_fix(override, terms)
    if any(term.site.is_models_own for term in terms):
        return None, SEVERAL
    factors = [factor for term in terms for factor in term.factors]
    if any(factor.kind not in _COEFFICIENTS or factor.power < 0 for factor in factors):
        return None, SCALED
    return count_fix(override, terms)


def uneven_fix(override: Override, term: LossTerm, beside: Sequence[LossTerm], project: Project) -> Fix:
    """A mean in one sum with `beside`, some of which use the count: its own count or the steps are its divisor."""
    site = term.site
    if site.level is Level.TOKEN or is_over_labels(site):
        if not is_over_labels(site):
            return None, "a term over tokens joins the sum by its own count, which is not known here"
        request, refusal = count_fix(override, [term])
        options = (("alone", "yes"),)
        return request and replace(request, options=(*request.options, *options)), refusal
    counted = [_counted_at(one) for one in beside if one.uses_count]
    if not all(inside(place, override.function) for place in counted):
        return None, "the term that is divided by the count is divided in a helper"
    if any(one.site.level is Level.TOKEN and is_plain_mean(one) for one in beside):
        return None, "another term of the sum is a mean over tokens, which the count divides"
    targets = tuple(dict.fromkeys(("counted", place.span) for place in counted))
    request = FixRequest("divide-terms", FixTier.UNSAFE, "divide by the steps what each forward adds", targets)
    return for_release(request, project), None


def _counted_at(term: LossTerm) -> Place:
    """Where the term becomes one that the count divides."""
    division = term.count_division
    return term.site.call if division is None else division.place
