"""Where is each mean of an override divided by the count, and what keeps it from being that?"""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import TRAINERS_SMOOTHER, Divisor, Level, LossSite, LossTerm, Override, Reduction
from ga_lint.rules._overrides import (
    added_in,
    inside,
    mean_role,
    other_labels,
    other_targets,
)
from ga_lint.rules._requests import Fix, Options, Targets
from ga_lint.source import Span

SEVERAL = "the loss has several terms, and each needs a divisor of its own"


def count_fix(override: Override, terms: list[LossTerm]) -> Fix:
    """Divide each mean's sum by the count: where it is taken, or where a helper hands it back."""
    sites = list(dict.fromkeys(term.site for term in terms))
    counted = [site for site in sites if len(sites) == 1 or is_over_labels(site)]
    own = [site for site in counted if inside(site.reduced, override.function) and not _is_trainers_own(site)]
    handed = [site for site in counted if site not in own and site.divisor is not None and site.divisor.text]
    refusal = _refusal(override, sites, [*own, *handed])
    if refusal is not None:
        return None, refusal
    outside = {site for site in own if site.constructor is not None and not inside(site.constructor, override.function)}
    if len({(site.labels, site.ignore_index) for site in outside}) > 1:
        return None, SEVERAL
    texts = [option for site in outside for option in _own_options(site)]
    divisors = {(one.place.span.start.row, one.text) for one in (site.divisor for site in handed) if one}
    if len({row for row, _ in divisors}) < len(divisors):
        return None, "what the mean of a helper divides by depends on the path through it"
    targets = [*added_in(override), *(target for site in own for target in _own_targets(site))]
    targets += [_handed_target(site.divisor) for site in handed if site.divisor is not None]
    options = (*dict.fromkeys(texts), *((f"divisor on line {row}", text) for row, text in sorted(divisors)))
    request = FixRequest(
        "count-loss", FixTier.UNSAFE, "divide the sum by the count", tuple(dict.fromkeys(targets)), options
    )
    return request, None


def _refusal(override: Override, sites: list[LossSite], counted: list[LossSite]) -> str | None:
    """Why the count is not the divisor of all that are `counted`, or something else has none."""
    for site in counted:
        other = other_targets(site)
        if other is not None:
            return other
        if site.constructor is not None and site.constructor.path != override.function.path:
            return "the loss object is built in another file"
        if (origin := other_labels(site)) is not None:
            return origin
    for site in sites:
        if site in counted:
            continue
        if len(sites) == 1:
            return "the loss is reduced in a helper, and what its mean divides by cannot be written here"
        if not _stands_beside(override, site, counted):
            return SEVERAL
    if any(_is_sum_of_its_own(term) for sums in _sums_with(override, counted) for term in sums):
        return SEVERAL
    return _unsteady(override, sites, [site for site in counted if site.via])


def _sums_with(override: Override, counted: list[LossSite]) -> list[tuple[LossTerm, ...]]:
    sums = [terms for returned in override.returns for terms in returned.sums]
    return [terms for terms in sums if any(term.site in counted for term in terms)]


def _is_sum_of_its_own(term: LossTerm) -> bool:
    """A sum that something else than the Trainer's count divides, or nothing."""
    return term.site.reduction is Reduction.SUM and not term.uses_count


def _unsteady(override: Override, sites: list[LossSite], handed: list[LossSite]) -> str | None:
    """Does a helper's call also give something that is no mean, or that could not be followed?"""
    calls = {site.divisor.place for site in handed if site.divisor is not None}
    for returned in override.returns:
        found = [term.site for term in returned.terms or ()]
        if returned.partly and any(site in handed for site in found):
            return "on some path what the helper returns could not be followed"
        if any(site.divisor and site.divisor.place in calls and site not in sites for site in found):
            return "what the helper returns is not always a mean over its targets"
    return None


def _is_trainers_own(site: LossSite) -> bool:
    """The Trainer's smoother: built by the Trainer, it is handed the labels and hands back their mean."""
    return site.callee == TRAINERS_SMOOTHER and site.constructor is None


def is_over_labels(site: LossSite) -> bool:
    return "labels" in (site.labels_from, site.mask_from)


def _stands_beside(override: Override, site: LossSite, counted: list[LossSite]) -> bool:
    """Is this a term of one forward, and never without one that is counted? The steps divide such a one."""
    if site.level is Level.TOKEN and inside(site.reduced, override.function):
        return False  # which of them it is over is not known
    sums = [terms for returned in override.returns for terms in returned.sums if any(t.site == site for t in terms)]
    return all(any(term.site in counted for term in terms) for terms in sums)


def _own_options(site: LossSite) -> Options:
    return [(name, text) for name, text in (("targets", site.labels), ("ignore_index", site.ignore_index)) if text]


def _handed_target(divisor: Divisor) -> tuple[str, Span]:
    return ("handed in a pair" if divisor.in_pair else "handed"), divisor.place.span


def _own_targets(site: LossSite) -> Targets:
    if site.call != site.reduced:
        return [(mean_role(site), site.reduced.span)]
    if site.constructor is None:
        return [("call", site.call.span)]
    return [("call", site.call.span), ("constructor", site.constructor.span)]
