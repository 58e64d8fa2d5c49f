"""When is it right to let the count run over all ranks again, and what is owed in the same edit?

What is gained is the weight of a target. What can be lost is the scale: the Trainer then multiplies by the number of
ranks whatever it was told is divided by the count, and an override has to do so by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import FileFacts, LocalAverage, LossRole, Override, TrainerSetup
from ga_lint.knowledge import head_drops_count
from ga_lint.project import Project
from ga_lint.rules._count_passed import normalised, owes_factor, rank_factor_fix
from ga_lint.rules._overrides import SUPER, returned_terms
from ga_lint.rules._requests import Fix

_HARDLY_ANY = 0.1  # of the heads that an automatic class may build: the model that is loaded is hardly one of those
_PLAIN = ("transformers.Trainer", "transformers.Seq2SeqTrainer", "trl.SFTTrainer")
_UNKNOWN = "which model is trained is not known, and one that drops the count would get gradients N times too large"
Owed = list[FixRequest]


def average_fix(off: LocalAverage, facts: FileFacts, project: Project) -> Fix:
    """Take the argument away, or set it where it is off by default; with the factor that an override owes then."""
    rows = [row for row in project.pins.rows or (project.release,) if row.averages_tokens is not None]
    if not rows:
        return None, f"transformers {project.release.span} has no such argument"
    if off.role == "field":
        return None, "a class's default holds for every Trainer that is built with it"
    setups = list(_setups(off, facts))
    if not setups:
        return None, "which Trainer these arguments are for is not seen in this file"
    owed: Owed = []
    for setup in setups:
        reason = _unready(setup, facts, project, owed)
        if reason is not None:
            return None, reason
    drops = all(row.averages_tokens for row in rows)
    summary = "let the count run over all ranks" + (", as it does by default" if drops else "")
    options = (("form", "drop" if drops else "set"),)
    request = FixRequest("average-tokens", FixTier.SAFE, summary, ((off.role, off.place.span),), options, tuple(owed))
    return request, None


def _setups(off: LocalAverage, facts: FileFacts) -> Iterator[TrainerSetup]:
    """The Trainers that get these arguments; of an assignment, where the file has only one set of them."""
    for setup in facts.setups:
        if setup.arguments is None:
            continue
        given = setup.arguments.place.span.contains(off.place.span)
        if given or (off.role == "statement" and len(facts.arguments) == 1):
            yield setup


def _unready(setup: TrainerSetup, facts: FileFacts, project: Project, owed: Owed) -> str | None:
    """Why this Trainer may be worse off; what its override owes is put into `owed`."""
    if setup.trainer not in _PLAIN:
        return f"the loss of {setup.trainer} is its own"
    if setup.opted_out:
        return None  # it is passed no count
    if setup.function:
        return _of_function(facts)
    if setup.override is not None:
        override = next((one for one in facts.overrides if one.function == setup.override), None)
        if override is None:
            return "the loss is computed in another file, and may owe the factor of the ranks"
        return _of_override(override, setup, project, owed)
    return _of_head(setup, project)


def _of_function(facts: FileFacts) -> str | None:
    """The Trainer multiplies what a function returns by the number of ranks, whichever of this file's it is."""
    handed = [one for one in facts.loss_functions if one.role is LossRole.ARGUMENT]
    if not handed or any(returned.partly or returned.terms is None for one in handed for returned in one.returns):
        return "what the compute_loss_func returns could not be followed"
    if not all(term.uses_count for one in handed for _, term in returned_terms(one)):
        return "the compute_loss_func returns a mean, which the Trainer would multiply by the number of ranks"
    return None


def _of_override(override: Override, setup: TrainerSetup, project: Project, owed: Owed) -> str | None:
    if override.counts_itself:
        return "the class counts by itself"
    if any(returned.partly or returned.terms is None for returned in override.returns):
        return "what compute_loss returns could not be followed, and it may owe the factor of the ranks"
    for _, term in returned_terms(override):
        by = normalised(term) if owes_factor(term) else None
        if term.site.callee == SUPER and term.site.counted and (reason := _of_head(setup, project)) is not None:
            return reason
        if by is not None:
            factor, refusal = rank_factor_fix(override, term, by)
            if factor is None:
                return f"compute_loss would owe the factor of the ranks: {refusal}"
            owed += [factor] if factor not in owed else []
    return None


def _of_head(setup: TrainerSetup, project: Project) -> str | None:
    if setup.head is None:
        return _UNKNOWN
    drops = head_drops_count(setup.head, project.pins.newest)
    if drops is not None and drops.dropping > _HARDLY_ANY * drops.heads:
        return f"{drops.name} drops the count, and the Trainer would multiply its loss by the number of ranks"
    return None
