"""What do the rules about Trainer overrides share? Which terms are left undivided, and which rewrite suits them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ga_lint.diagnostics import FixRequest, FixTier, Step
from ga_lint.facts.model import (
    Answer,
    FactorKind,
    Level,
    LossFunction,
    LossSite,
    LossTerm,
    ModelForward,
    Override,
    Place,
    Reduction,
    Returned,
    SuperCall,
)
from ga_lint.project import Project
from ga_lint.source import Span

COUNT = "num_items_in_batch"
Fix = tuple[FixRequest | None, str | None]  # the rewrite, or the reason why there is none
SUPER = "super().compute_loss"
_OF_LABELS = re.compile(r"label|target|tgt|-\s*100", re.IGNORECASE)
_IGNORED = re.compile(r"-100|\w*ignore\w*", re.IGNORECASE)  # a name of the file's own says so too
_SELECTED = re.compile(r"\[[^\[\]:,\"']+\]$")  # `labels[mask]`


def receives_count(override: Override) -> bool:
    """Can the Trainer's call reach this signature at all?"""
    parameter = override.parameter
    if override.method == "training_step":
        return parameter.name is not None or parameter.variadic is not None
    return parameter.name is not None or parameter.keywords is not None


def trusts_count(override: Override) -> bool:
    """Does the Trainer count the batch and leave the division to this class?"""
    counted = override.labels_in_batch is not Answer.NO and override.accepted is not Answer.NO
    return counted and not override.opted_out and not override.sample_base


def returned_terms(override: Override | LossFunction | ModelForward) -> Iterator[tuple[Returned, LossTerm]]:
    """Every term of every return, each once."""
    seen: list[LossTerm] = []
    for returned in override.returns:
        for term in returned.terms or ():
            if term not in seen:
                seen.append(term)
                yield returned, term


def is_plain_mean(term: LossTerm) -> bool:
    """A micro-batch mean that neither the count nor the steps divide, here or in the callee."""
    return (
        term.site.reduction is Reduction.MEAN
        and not term.site.counted
        and not term.power_of(FactorKind.GLOBAL_COUNT)
        and not term.power_of(FactorKind.STEPS)
    )


def uses_count(term: LossTerm) -> bool:
    """A sum that the window's count divides, here or in the callee."""
    return term.site.counted or term.power_of(FactorKind.GLOBAL_COUNT) < 0


def uneven_terms(followed: Override | LossFunction | ModelForward) -> Iterator[tuple[Returned, LossTerm]]:
    """The plain means that are added to a term which does use the count, each once."""
    seen: set[LossTerm] = set()
    for returned in followed.returns:
        for terms in returned.sums:
            if any(map(uses_count, terms)):
                for term in terms:
                    if is_plain_mean(term) and term not in seen:
                        seen.add(term)
                        yield returned, term


def says(override: Override, words: str) -> Step | None:
    """Where its class says so: `model_accepts_loss_kwargs is set to False`."""
    return next((step for step in override.opted_out if step.message == words), None)


def dropped_calls(override: Override) -> list[SuperCall]:
    """The calls of super() that do not hand the count on, unless the steps divide what they return."""
    divided = any(term.site.callee == SUPER and term.power_of(FactorKind.STEPS) for _, term in returned_terms(override))
    return [] if divided else [call for call in override.super_calls if not call.forwards_count]


def origin(override: Override, returned: Returned, term: LossTerm) -> Place:
    """Where to point: the reduction where it stands in the override itself, else the return."""
    here = term.site.reduced
    in_model = term.site.callee.endswith("own loss")
    return returned.place if in_model or not inside(here, override.function) else here


def loss_trace(override: Override, term: LossTerm, returned: Returned) -> tuple[Step, ...]:
    """From the class to the return."""
    site = term.site
    text = f"{site.callee} is a mean" if "loss" in site.callee and "." not in site.callee else "reduced to a mean here"
    steps = [
        Step(f"{override.cls} reaches {override.base}; the Trainer passes the count here", *_at(override.name)),
        *site.via,
        Step(text, *_at(site.reduced)),
        Step("returned to the Trainer, which does not divide it again", *_at(returned.place)),
    ]
    return tuple(steps)


def override_fix(override: Override, terms: list[LossTerm], project: Project) -> tuple[FixRequest | None, str | None]:
    """The rewrite that makes an override use the count: forward it, delegate, or divide its own sum."""
    calls = dropped_calls(override)
    if calls and _adds_terms(override) and (override.sample_base or override.opted_out):
        return (
            None,
            "the Trainer divides what this class returns, so the terms beside super()'s loss are its own to decide",
        )
    if calls:
        return forward_fix(override, calls[0], project), None
    request, refusal = _own_fix(override, terms)
    return (None if request is None else _for_release(request, project)), refusal


def crash_fix(override: Override, project: Project) -> tuple[FixRequest | None, str | None]:
    """The rewrite for an override that the Trainer cannot even call.

    Where the loss cannot be divided here, it is left to the Trainer, who divided it when this code was written.
    """
    terms = [term for _, term in returned_terms(override)]
    if dropped_calls(override) and not _only_supers(override, terms):
        return None, "on another path the loss is not super()'s, and nothing would divide it once the count is taken"
    fix, refusal = override_fix(override, terms, project)
    if fix is not None or any(term.power_of(FactorKind.STEPS) for term in terms):  # the steps divide already
        return fix, refusal
    method = ("method", override.function.span)
    if override.method == "compute_loss":
        summary = "take the count and let the Trainer divide by the steps, as before 4.46"
        return FixRequest("opt-out", FixTier.UNSAFE, summary, (method,)), None
    return FixRequest("take-count", FixTier.SAFE, "take the third argument", (method,)), None


def _only_supers(override: Override, terms: list[LossTerm]) -> bool:
    """Is every loss that it returns the base's, with or without terms beside it?"""
    if override.method == "training_step":
        return True
    sums = [one for returned in override.returns for one in returned.sums]
    known = not any(returned.partly or returned.terms is None for returned in override.returns)
    return bool(terms) and known and all(any(term.site.callee == SUPER for term in one) for one in sums)


def forward_fix(override: Override, call: SuperCall, project: Project) -> FixRequest:
    """Hand the count on. That a term super() knows nothing of is then divided by the steps is a choice."""
    tier = FixTier.UNSAFE if _adds_terms(override) else FixTier.SAFE
    return _for_release(FixRequest("forward-count", tier, "forward the count", (("call", call.place.span),)), project)


def _adds_terms(override: Override) -> bool:
    return any(
        len({term.site for term in returned.terms or ()}) > 1
        and any(term.site.callee == SUPER for term in returned.terms or ())
        for returned in override.returns
    )


def _for_release(request: FixRequest, project: Project) -> FixRequest:
    """Before 4.55 the Trainer does not say how long the running window is."""
    if project.knows_window_length is not False:
        return request
    return replace(request, options=(*request.options, ("steps", "args.gradient_accumulation_steps")))


def _own_fix(override: Override, terms: list[LossTerm]) -> tuple[FixRequest | None, str | None]:
    if any(term.site.level is Level.SAMPLE for term in terms):
        summary = "let the Trainer divide: model_accepts_loss_kwargs = False"
        return FixRequest("opt-out", FixTier.UNSAFE, summary, (("method", override.function.span),)), None
    if not terms:
        return None, "the loss that it returns could not be followed"
    if any(term.site.reduced.path != override.function.path for term in terms):
        return None, "the loss is reduced in another file"
    if all(term.site.callee.endswith("own loss") for term in terms):
        return delegate_fix(override, terms)
    if len({term.site for term in terms}) > 1 or any(term.factors for term in terms):
        return None, "the loss has several terms, and each needs a divisor of its own"
    return _count(override, terms[0])


def delegate_fix(override: Override, terms: list[LossTerm]) -> tuple[FixRequest | None, str | None]:
    sites = {term.site for term in terms}
    reads = dict(override.loss_reads)
    if len(sites) > 1:
        return None, "the model is called more than once"
    site = sites.pop()
    places = [read.span for call, read in override.loss_reads if call == site.call]
    if not places or site.call not in reads:
        return None, "where the loss is read from the model's output could not be followed"
    targets: list[tuple[str, Span]] = [("call", site.call.span), *(("loss", span) for span in places)]
    return FixRequest("delegate-loss", FixTier.UNSAFE, "let super() compute the loss", tuple(targets)), None


def _count(override: Override, term: LossTerm) -> tuple[FixRequest | None, str | None]:
    site = term.site
    if not inside(site.reduced, override.function):
        return None, "the loss is reduced in a helper that others may call"
    targets: list[tuple[str, Span]]
    other = other_targets(site)
    if other is not None:
        return None, other
    if site.call == site.reduced:
        targets = [("call", site.call.span)]
        if site.constructor is not None:
            if site.constructor.path != override.function.path:
                return None, "the loss object is built in another file"
            targets.append(("constructor", site.constructor.span))
    else:
        targets = [("mean", site.reduced.span)]
    options = [(name, text) for name, text in (("targets", site.labels), ("ignore_index", site.ignore_index)) if text]
    request = FixRequest("count-loss", FixTier.UNSAFE, "divide the sum by the count", tuple(targets), tuple(options))
    return request, None


def other_targets(site: LossSite) -> str | None:
    """Why the targets that the mean is over may not be those that the Trainer counts: labels other than -100."""
    if site.masked and "label" not in site.mask_from:
        return "the mask is not made of the labels, so it may not select the targets that the Trainer counts"
    if site.averaged_over and (not _OF_LABELS.search(site.averaged_over) or " * " in site.averaged_over):
        return f"the mean is over `{site.averaged_over}`, which may be another number than the Trainer's count"
    if site.ignore_index and not _IGNORED.fullmatch(site.ignore_index):
        return f"the loss ignores `{site.ignore_index}`, and the Trainer counts labels other than -100"
    if site.labels and _SELECTED.search(site.labels):
        return "only some of the labels are targets, and the Trainer counts them all"
    return None


def inside(place: Place, function: Place) -> bool:
    return place.path == function.path and function.span.contains(place.span)


def _at(place: Place) -> tuple[Path, Span]:
    return place.path, place.span
