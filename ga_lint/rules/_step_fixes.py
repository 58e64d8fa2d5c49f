"""Which rewrite suits a training_step of one's own that runs backward, or why is there none?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import Factor, FactorKind, Level, LossTerm, Override, Place
from ga_lint.project import Project
from ga_lint.rules._count_fixes import SEVERAL
from ga_lint.rules._delegate import delegate_fix
from ga_lint.rules._overrides import SUPER, inside, is_undivided
from ga_lint.rules._requests import GATHERED, SCALED, Fix, Targets, for_release


def runs_elsewhere(override: Override) -> bool:
    """Does a function that this training_step calls, or holds, hand backward a loss that nothing divides?"""
    return override.method == "training_step" and any(is_undivided(override, o) for o in override.backwards_elsewhere)


def _only_weighed(factors: Iterable[Factor]) -> bool:
    """Is the loss multiplied by numbers alone?"""
    return all(factor.kind is FactorKind.CONSTANT and factor.power > 0 for factor in factors)


def divided_step_fix(override: Override, terms: Sequence[LossTerm], project: Project) -> Fix:
    """What a training_step of one's own divides by the steps itself, although compute_loss could by the count."""
    values = {one.place.span for one in override.backwards}
    if len(values) > 1 or any(len(one.terms or ()) > len(terms) for one in override.backwards):
        return None, "backward is handed other losses too, which the steps go on dividing"
    if any(one.added for one in override.backwards):
        return None, "something is added to the loss, which the steps go on dividing"
    factors = [factor for term in terms for factor in term.factors]
    steps = {factor.place for factor in factors if factor.kind is FactorKind.STEPS}
    if not _only_weighed(factor for factor in factors if factor.kind is not FactorKind.STEPS) or len(steps) > 1:
        return None, SCALED
    if any(term.site.depth for term in terms) or not all(inside(place, override.function) for place in steps):
        return None, GATHERED
    targets = [("value", values.pop()), ("call", terms[0].site.call.span), *(("division", one.span) for one in steps)]
    summary = "hand the count to compute_loss, and divide where there is none"
    return for_release(FixRequest("divide-in-step", FixTier.UNSAFE, summary, tuple(targets)), project), None


def step_fix(override: Override, value: Place, term: LossTerm | None, project: Project) -> Fix:
    """What backward receives in a training_step of one's own: counted by compute_loss, or divided by the steps."""
    if len({one.place for one in override.backwards if is_undivided(override, one)}) > 1:
        return None, "several losses run backward, and each needs a division of its own"
    if runs_elsewhere(override):
        return None, "another backward runs in a function that it calls, and needs a division of its own"
    if any(each.uses_count for one in override.backwards if one.place == value for each in one.terms or ()):
        return None, SEVERAL
    targets: Targets = [("value", value.span)]
    counts = term is not None and (term.site.callee == SUPER or term.site.is_models_own)
    depth = next((one.depth for one in override.backwards if one.place == value), 0)
    if term is not None and counts and term.site.depth > depth:
        return None, GATHERED
    if term is not None and counts and not _only_weighed(term.factors):
        return None, SCALED
    if counts and any(one.added for one in override.backwards):
        return None, "something is added to the loss, which the steps are to divide and the count is not"
    if term is not None and term.site.callee == SUPER and inside(term.site.call, override.function):
        targets.append(("call", term.site.call.span))
        summary = "hand the count to compute_loss, and divide where there is none"
    elif term is not None and term.site.is_models_own:
        delegation, refusal = delegate_fix(override, [term])
        if delegation is None:
            return None, refusal
        targets += [("model" if role == "call" else role, span) for role, span in delegation.targets]
        summary = "let compute_loss give the model's loss, by the count, and divide where there is none"
    elif term is None or term.site.level is not Level.TOKEN:
        summary = "divide by the number of micro-batches in the window"
    else:
        return None, "hand the count to `self.compute_loss`, or divide by the window's length: the choice is the loss's"
    return for_release(FixRequest("divide-in-step", FixTier.UNSAFE, summary, tuple(targets)), project), None
