"""What do the rules about Trainer overrides share? Which terms are left undivided, and which rewrite suits them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ga_lint.diagnostics import Step
from ga_lint.facts.model import (
    SUPERS_LOSS,
    Answer,
    FactorKind,
    FileFacts,
    Level,
    LightningStep,
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
from ga_lint.rules._requests import Targets

Followed = Override | LossFunction | ModelForward  # what returns losses to be followed
COUNT = "num_items_in_batch"
SUPER = SUPERS_LOSS
_COUNTED = ("labels", "-100")  # what the Trainer counts
_OF_LABELS = re.compile(r"label|target|tgt|-\s*100", re.IGNORECASE)
_IGNORED = re.compile(r"-100|\w*ignore\w*", re.IGNORECASE)  # a name of the file's own says so too
_PARTS = "the means of several parts of the batch are gathered: whether parts or targets weigh alike is not known"
MEAN_FIRST = "compute_loss returns a mean even where it gets the count, and nobody would divide that any more"
_SELECTED = re.compile(r"\[[^\[\]:,\"']+\]$")  # `labels[mask]`


def handed_count(facts: FileFacts, project: Project) -> list[Followed]:
    """What is handed the window's count and is to divide by it; nothing where no release of the project passes one."""
    if project.trainer_passes_count is False:
        return []
    overrides = [one for one in facts.overrides if one.method == "compute_loss" and trusts_count(one)]
    return [*overrides, *facts.loss_functions, *facts.forwards]


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


def returned_terms(override: Followed) -> Iterator[tuple[Returned, LossTerm]]:
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


def plain_mean(returned: Returned) -> LossTerm | None:
    return next((term for term in returned.terms or () if is_plain_mean(term)), None)


def is_undivided(override: Override, backward: Returned) -> bool:
    """Does a training_step of one's own hand backward a loss that nothing divides?"""
    unknown = backward.terms is None and not override.steps_by_itself
    return plain_mean(backward) is not None or unknown


def uneven_terms(followed: Followed) -> Iterator[tuple[Returned, LossTerm]]:
    """The plain means that are added to a term which does use the count, each once."""
    seen: set[LossTerm] = set()
    for returned in followed.returns:
        for terms in returned.sums:
            if any(term.uses_count for term in terms):
                for term in terms:
                    if is_plain_mean(term) and term not in seen:
                        seen.add(term)
                        yield returned, term


def even_terms(followed: Override | LossFunction) -> list[tuple[Returned, LossTerm]]:
    """What is returned, but for the terms that GA213 is about: another one of their sum does use the count."""
    uneven = {term for _, term in uneven_terms(followed)}
    return [(returned, term) for returned, term in returned_terms(followed) if term not in uneven]


def adds_elsewhere(followed: Followed | LightningStep) -> bool:
    """Is something added to a loss that it returns in a helper, where no rewrite of this function reaches it?"""
    return any(not inside(place, followed.function) for one in followed.returns for place in one.added)


def added_in(followed: Followed | LightningStep) -> Targets:
    """What is added to a loss that it returns, and could not be followed: a fixer has to see to it."""
    places = dict.fromkeys(place for one in followed.returns for place in one.added)
    return [("added", place.span) for place in places if inside(place, followed.function)]


def says(override: Override, words: str) -> Step | None:
    """Where its class says so: `model_accepts_loss_kwargs is set to False`."""
    return next((step for step in override.opted_out if step.message == words), None)


def gathered_call(override: Override, call: SuperCall) -> bool:
    """Is super() asked in a loop, for parts of the batch? What puts their losses together may divide by how many."""
    return any(term.site.call == call.place and term.site.depth for _, term in returned_terms(override))


def dropped_calls(override: Override) -> list[SuperCall]:
    """The calls of super() that do not hand the count on, unless the steps divide what they return."""
    divided = any(term.site.callee == SUPER and term.power_of(FactorKind.STEPS) for _, term in returned_terms(override))
    return [] if divided else [call for call in override.super_calls if not call.forwards_count]


def returns_mean_anyhow(facts: FileFacts, cls: str) -> bool:
    """Has the class a compute_loss whose mean only a training_step that hands no count on has divided?"""
    own = [one for one in facts.overrides if one.cls == cls and one.method == "compute_loss"]
    return any(is_plain_mean(term) for one in own for _, term in returned_terms(one))


def divided_means(override: Override) -> dict[Place, list[LossTerm]]:
    """What backward receives in a step of the class's own that divides by the steps, by its call of compute_loss.

    That is the Trainer's own and is handed no count.
    """
    found: dict[Place, list[LossTerm]] = {}
    if override.method != "training_step" or override.parameter.name is None or override.level is Level.SAMPLE:
        return found
    for term in dict.fromkeys(term for one in override.backwards for term in one.terms or ()):
        asked = term.site.callee == SUPER and not term.site.counted and inside(term.site.call, override.function)
        if asked and term.power_of(FactorKind.STEPS) == -1:
            found.setdefault(term.site.call, []).append(term)
    return found


def origin(override: Override, returned: Returned, term: LossTerm) -> Place:
    """Where to point: the reduction where it stands in the override itself, else the return."""
    here = term.site.reduced
    in_model = term.site.is_models_own
    return returned.place if in_model or not inside(here, override.function) else here


def loss_trace(override: Override, term: LossTerm, returned: Returned) -> tuple[Step, ...]:
    """From the class to the return."""
    site = term.site
    text = f"{site.callee} is a mean" if "loss" in site.callee and "." not in site.callee else "reduced to a mean here"
    steps = [
        override.name.as_step(f"{override.cls} reaches {override.base}; the Trainer passes the count here"),
        *site.via,
        site.reduced.as_step(text),
        returned.place.as_step("returned to the Trainer, which does not divide it again"),
    ]
    return tuple(steps)


def shown_at(path: Path, followed: Followed, *places: Place) -> Place:
    """The first of these that stands in the file itself; else its name there, or where it is handed over."""
    known = [*places, followed.name]
    if isinstance(followed, LossFunction):
        known.append(followed.handed_over)
    return next(place for place in known if place.path == path)


def inside(place: Place, function: Place) -> bool:
    return place.path == function.path and function.span.contains(place.span)


def _picks_targets(site: LossSite) -> bool:
    """Are all elements targets that the Trainer counts, since a mask has picked them out of the labels?"""
    picked = site.targets
    ignored = picked is not None and picked.leaves_out is not None and bool(_IGNORED.fullmatch(picked.leaves_out))
    return picked is not None and ignored and picked.source == "labels"


def mean_role(site: LossSite) -> str:
    """What a fixer is to take a mean for that no loss call computes: of what is left of a mask, or over a count."""
    return "picked" if not site.averaged_over and _picks_targets(site) else "mean"


def other_labels(site: LossSite) -> str | None:
    """Why the targets of a loss call may be none of the Trainer's; where a mask picks them, it says which they are."""
    if site.labels_from == "labels" or site.masked:
        return None
    if site.is_of_chunks and site.targets is not None and (site.targets.source, site.targets.leaves_out) == _COUNTED:
        return None  # whatever the chunks are called, their sum is divided by the count of the labels
    origin = f"made of `{site.labels_from}`" if site.labels_from else "of unknown origin"
    return f"the targets are {origin}, and the Trainer counts `labels`"


def other_targets(site: LossSite) -> str | None:
    """Why the targets that the mean is over may not be those that the Trainer counts: labels other than -100."""
    if site.depth and site.labels_remade:
        return _PARTS
    if site.masked and "label" not in site.mask_from:
        return "the mask is not made of the labels, so it may not select the targets that the Trainer counts"
    if site.averaged_over and (not _OF_LABELS.search(site.averaged_over) or " * " in site.averaged_over):
        return f"the mean is over `{site.averaged_over}`, which may be another number than the Trainer's count"
    if site.ignore_index and not _IGNORED.fullmatch(site.ignore_index):
        return f"the loss ignores `{site.ignore_index}`, and the Trainer counts labels other than -100"
    selected = bool(site.labels and _SELECTED.search(site.labels))
    # Where a mask of the labels as they came says which are targets, nothing in the others' places is one.
    remade = site.labels_remade and (site.call == site.reduced or site.masked or bool(site.averaged_over))
    if (selected or remade) and not _picks_targets(site):
        return "only some of the labels are targets, and the Trainer counts them all"
    if site.masked and site.averaged_over and site.mask_from == "labels" and not _picks_targets(site):
        return "whether the mask keeps all the targets that the Trainer counts, and no others, is not known"
    return None
