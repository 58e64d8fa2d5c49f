"""Which rewrite makes a loss function use the count that it is called with, on every path, or which is in the way?"""

from __future__ import annotations

from collections.abc import Sequence

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import Divisor, FactorKind, LossFunction, LossSite, LossTerm
from ga_lint.rules._overrides import added_in, adds_elsewhere, inside, mean_role, other_labels, other_targets
from ga_lint.rules._requests import ADDED, SCALED, SHAPED, Fix, Targets

_COEFFICIENTS = (FactorKind.CONSTANT, FactorKind.OTHER)


def function_fix(function: LossFunction, terms: Sequence[LossTerm]) -> Fix:
    """Divide the sum of each branch by the count, in one edit."""
    if function.called == "lambda":
        return None, "a lambda has no room for the division: give the function a name"
    if not terms:
        return None, "the loss that it returns could not be followed"
    sites = list(dict.fromkeys(term.site for term in terms))
    for term in terms:
        reason = _refusal(function, term)
        if reason is not None:
            return None, reason if len(sites) == 1 else f"the branch on line {_row(function, term.site)}: {reason}"
    reason = _of_paths(function, sites)
    if reason is not None:
        return None, reason
    targets = [*added_in(function), *(target for site in sites for target in _targets(function, site))]
    handed = [site.divisor for site in sites if not inside(site.reduced, function.function)]
    divisors = sorted({(one.place.span.start.row, one.text) for one in handed if one is not None})
    if len({row for row, _ in divisors}) < len(divisors):
        return None, "what the mean of a helper divides by depends on the path through it"
    options = tuple((f"divisor on line {row}", text) for row, text in divisors)
    summary = "divide the sum by the count"
    request = FixRequest("count-loss-function", FixTier.UNSAFE, summary, tuple(dict.fromkeys(targets)), options)
    return request, None


def _row(function: LossFunction, site: LossSite) -> int:
    """Where the reader finds this branch."""
    place = site.reduced if inside(site.reduced, function.function) else site.call
    if not inside(place, function.function):
        handed = site.divisor.place if site.divisor is not None else function.name
        place = handed if inside(handed, function.function) else function.name
    return place.span.start.row


def _refusal(function: LossFunction, term: LossTerm) -> str | None:
    site = term.site
    if term.is_shaped:
        return SHAPED
    if any(factor.kind not in _COEFFICIENTS or factor.power < 0 for factor in term.factors):
        return SCALED
    if not inside(site.reduced, function.function):
        handed = _handed(site)
        if handed is None or not handed.text or not inside(handed.place, function.function):
            return "the loss is reduced in a helper, and what its mean divides by cannot be written here"
    if site.constructor is not None and site.call == site.reduced and not inside(site.constructor, function.function):
        return "the loss object is built elsewhere, so its reduction cannot be chosen here"
    return other_labels(site) or other_targets(site)


def _of_paths(function: LossFunction, sites: list[LossSite]) -> str | None:
    """A path that could not be followed may change what another one returns."""
    if adds_elsewhere(function):
        return ADDED
    for returned in function.returns:
        if returned.partly:
            return f"what line {returned.place.span.start.row} returns could not be followed on every path"
        for terms in returned.sums:
            beside = [term for term in terms if term.site not in sites]
            if beside and len(beside) < len(terms):
                row = beside[0].site.reduced.span.start.row
                return f"the loss is added to a term on line {row} whose divisor is not known"
    return None


def _handed(site: LossSite) -> Divisor | None:
    return site.divisor if site.via else None


def _targets(function: LossFunction, site: LossSite) -> Targets:
    if not inside(site.reduced, function.function):
        assert site.divisor is not None
        return [("handed in a pair" if site.divisor.in_pair else "handed", site.divisor.place.span)]
    if site.call != site.reduced:
        return [(mean_role(site), site.reduced.span)]
    constructor = [("constructor", site.constructor.span)] if site.constructor is not None else []
    return [("call", site.call.span), *constructor]
