"""Which rewrite suits a `training_step`? The request that the fixer gets, or the reason why there is none."""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import Answer, FactorKind, Level, LightningStep, LossSite, LossTerm
from ga_lint.project import Project
from ga_lint.rules._counting import of_targets
from ga_lint.rules._overrides import added_in, adds_elsewhere, inside
from ga_lint.rules._requests import ADDED, SHAPED, Fix, Options

_SUMMARY = "sum over the targets, and divide by the window's count before the optimizer steps"


def lightning_fix(step: LightningStep, project: Project) -> Fix:
    """A request for the count in `training_step` and the hook that divides by it."""
    terms = [returned.terms or () for returned in step.returns]
    refusal = _refusal(step, terms)
    if step.logs_by_returning or not project.lightning_has_hook:
        refusal = "a Lightning before 1.4 has no hook before the optimizer's step"
    if refusal is not None:
        return None, refusal
    term = terms[0][0]
    site = term.site
    counting = _counting(step, site)
    if isinstance(counting, str):
        return None, counting
    by_hand = site.masked or bool(site.averaged_over)
    own = site.is_models_own
    places = dict.fromkeys(returned.place for returned in step.returns)
    targets = [("method", step.function.span), *added_in(step)]
    targets += [("wrapped" if place in step.wrapped else "returned", place.span) for place in places]
    if inside(site.reduced, step.function):
        targets.append(("reduced", site.reduced.span))
    if inside(site.call, step.function) and not by_hand:
        targets.append(("call", site.call.span))
        if site.call == site.reduced and not term.factors and not own:
            targets.append(("summed", site.call.span))
        if site.constructor is not None and inside(site.constructor, step.function):
            targets.append(("constructor", site.constructor.span))
    answers = {"own": own, "remade": site.labels_remade and not by_hand, "index": project.lightning_passes_index}
    options = (*counting, *((name, "yes" if answer else "no") for name, answer in answers.items()))
    return FixRequest("lightning-count", FixTier.UNSAFE, _SUMMARY, tuple(targets), options), None


def _refusal(step: LightningStep, terms: list[tuple[LossTerm, ...]]) -> str | None:
    if step.mentions_deepspeed:
        return "under DeepSpeed the gradients are the engine's, and not there before its step"
    if step.inherits_hook:
        return "a base class has an on_before_optimizer_step of its own"
    if step.accumulation.answer is Answer.UNKNOWN:
        return "no Trainer is in sight that accumulates"
    if any(len(each) != 1 for each in terms):
        return "the loss has several terms, and each needs a weight of its own"
    if adds_elsewhere(step):
        return ADDED
    sites = {each[0].site for each in terms}
    if len({(s.labels_from, s.labels, s.targets, s.shifted, s.ignore_index) for s in sites}) > 1:
        return "its returns hold losses over different targets"
    if any(s.weighted for s in sites):
        return "the loss has class weights, so its sum is not over a count of targets"
    if any(s.per_row for s in sites):
        return "each row's tokens are averaged first"
    if any(s.level is not Level.TOKEN for s in sites):
        return "whether it is a mean over tokens is not known"
    if any(each[0].is_shaped for each in terms):
        return SHAPED
    if any(factor.power < 0 for each in terms for factor in each[0].factors):
        return "the loss is divided by hand as well"
    if any(each[0].power_of(FactorKind.WORLD) > 0 for each in terms):
        return "the loss is multiplied by the number of ranks as well, of which a mean owes nothing"
    if any(factor.text.endswith(".apply") for each in terms for factor in each[0].factors):
        return "the loss goes through a function with gradients of its own"
    return None


def _counting(step: LightningStep, site: LossSite) -> Options | str:
    """How the targets of one batch are counted where `training_step` returns."""
    if site.masked or site.averaged_over:
        return of_targets(site)
    own = site.is_models_own
    if own and site.shifted is None:
        return "whether the model's own loss shifts its labels is not known"
    if not own and site.ignore_index is None:
        return "which targets the loss ignores is not known"
    here = inside(site.call, step.function)
    if not here and (site.labels_remade or not site.labels_from):
        return "the targets are made in another function than training_step"
    shifted = "yes" if site.shifted else "no"
    return [("labels", site.labels_from), ("shifted", shifted), ("ignore_index", site.ignore_index or "-100")]
