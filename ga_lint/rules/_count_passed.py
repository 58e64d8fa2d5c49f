"""What else must be in the edit that makes an override's count one which the Trainer passes?

Two halves belong together: the division by the count, and a Trainer that hands one over for this model. And from the
moment that the count is passed, the factor of the ranks is owed.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import HEADS_LOSS, Answer, FactorKind, LossTerm, Override, Place
from ga_lint.knowledge.trainer_law import Form, Site, Usage, outcome
from ga_lint.project import Project
from ga_lint.rules._delegate import delegate_fix
from ga_lint.rules._overrides import SUPER, inside, returned_terms, uneven_terms
from ga_lint.rules._requests import Fix
from ga_lint.source import Span

_ACCEPTED = Usage(Site.OVERRIDE, Form.COUNT)


class Normalised(Struct, frozen=True):
    """Where the count divides: in this override, in a helper, or in a callee that was handed the count."""

    place: Place
    how: str
    division: bool


def normalised(term: LossTerm) -> Normalised | None:
    """The division by the Trainer's count, other than in super()."""
    if term.site.callee == SUPER:
        return None
    division = term.count_division
    if division is not None:
        return Normalised(division.place, f"divided by `{division.text}`", True)
    if term.site.counted:
        return Normalised(term.site.call, f"{term.site.callee} is handed the count and divides by it", False)
    return None


def owes_factor(term: LossTerm) -> bool:
    """Does the count divide, and nothing multiply by the number of ranks afterwards?"""
    return normalised(term) is not None and term.power_of(FactorKind.WORLD) <= 0


def rank_factor_fix(override: Override, term: LossTerm, by: Normalised) -> Fix:
    """Multiply by the number of ranks what the count over all of them divides."""
    if not by.division and term.site.is_models_own:
        return delegate_fix(override, [term])  # super() does both
    if term.site.callee == HEADS_LOSS and inside(by.place, override.function):
        return _times_ranks("handed", by.place), None
    if not by.division:
        return None, "what divides is called here, and the factor may be owed elsewhere"
    if not inside(by.place, override.function):
        return _where_handed(term)
    return _times_ranks("division", by.place), None


def _where_handed(term: LossTerm) -> Fix:
    """A helper divides: the factor goes behind its call, since others may call it too."""
    handed = term.site.divisor
    if handed is None or handed.in_pair or not term.site.via:
        return None, "the division stands in a helper that others may call"
    return _times_ranks("handed", handed.place), None


def hand_on_fix(call: Place) -> FixRequest:
    """The model's own loss divides by a count that it is handed, and knows no ranks."""
    also = (_times_ranks("handed", call),)
    return FixRequest("forward-count", FixTier.UNSAFE, "hand the count on", (("call", call.span),), also=also)


def _times_ranks(role: str, place: Place) -> FixRequest:
    return FixRequest("rank-factor", FixTier.SAFE, "multiply by the number of ranks", ((role, place.span),))


def accept_fix(override: Override, project: Project, flag: Span | None = None) -> Fix:
    """Have the Trainer pass the count, with the factor that this override owes from then on."""
    counted = [term for _, term in returned_terms(override) if term.uses_count and term.site.callee != SUPER]
    refusal = _refusal(override, counted, project)
    if refusal is not None:
        return None, refusal
    owed, refusal = _owed(override, counted, project)
    if refusal is not None:
        return None, f"once the count is passed, the factor of the ranks is owed: {refusal}"
    targets = [("method", override.function.span), *([("flag", flag)] if flag is not None else [])]
    summary = "have the count passed: model_accepts_loss_kwargs = True"
    return FixRequest("accept-count", FixTier.UNSAFE, summary, tuple(targets), also=tuple(owed)), None


def with_count_passed(fix: Fix, override: Override, project: Project) -> Fix:
    """A rewrite that divides by the count, with the other half where the Trainer would pass none."""
    request, refusal = fix
    if request is None or request.fixer != "count-loss" or override.accepted is not Answer.NO:
        return request, refusal
    accepting, refusal = accept_fix(override, project)
    return (None, refusal) if accepting is None else (replace(request, also=(accepting,)), None)


def _refusal(override: Override, counted: Sequence[LossTerm], project: Project) -> str | None:
    if any(call.method == "compute_loss" for call in override.super_calls):
        return "super() would hand the count to the model's forward, which takes no **kwargs"
    if any(term.site.is_models_own for term in counted):
        return "the count is handed to the model, whose forward has to take **kwargs for the Trainer to pass one"
    if any(uneven_terms(override)):
        return "a term beside the one that the count divides would be added once for every micro-batch"
    result = outcome(_ACCEPTED, project.release)
    if result.raises or result.mean_of_means:
        return f"transformers {project.release.span} passes no count to a model that takes one"
    return None


def _owed(override: Override, counted: Sequence[LossTerm], project: Project) -> tuple[list[FixRequest], str | None]:
    """The factor of the ranks for each division that has none."""
    owed: list[FixRequest] = []
    if project.averages_tokens is False or override.local_average:
        return owed, None
    for term in counted:
        by = normalised(term) if owes_factor(term) else None
        if by is not None:
            factor, refusal = rank_factor_fix(override, term, by)
            if factor is None:
                return [], refusal
            owed += [factor] if factor not in owed else []
    return owed, None
