"""What becomes of a loss in a release's Trainer? Pure arithmetic over a ReleaseRow; nothing here knows a version.

A gradient's right value is the gradient of the mean over all targets of the window and of all ranks. Everything is said
of a run with several accumulation steps, targets that differ in number between the micro-batches, and ranks that
average their gradients as DistributedDataParallel does.
"""

from __future__ import annotations

import enum

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.knowledge.releases import (
    AcceptsBy,
    CountsFor,
    Divides,
    EngineRow,
    LossFunction,
    PassesCount,
    RankFactor,
    ReleaseRow,
)


class Form(enum.Enum):
    """What the code returns for one micro-batch. Without a count, a counting form is the micro-batch mean."""

    MEAN = "the micro-batch mean"
    MEAN_OVER_STEPS = "the micro-batch mean, divided by the steps"
    COUNT = "the sum over the count"
    COUNT_TIMES_RANKS = "the sum over the count, times the ranks where the Trainer averages over them"


class Site(enum.Enum):
    """Where the loss is computed."""

    OVERRIDE = "a compute_loss that takes the count"
    OVERRIDE_WITHOUT_PARAMETER = "a compute_loss that does not take it"
    SUPER_WITH_COUNT = "a compute_loss that hands the count to super()"
    SUPER_WITHOUT_COUNT = "a compute_loss that calls super() without it"
    FUNCTION = "compute_loss_func"
    MODEL = "the model's forward"  # with COUNT: a stock causal LM under the plain Trainer
    LOSS_FUNCTION = "a function assigned to model.loss_function"
    SMOOTHER = "label smoothing"


_OVERRIDES = (Site.OVERRIDE, Site.OVERRIDE_WITHOUT_PARAMETER)
_OF_MODEL = (Site.MODEL, Site.LOSS_FUNCTION, Site.SUPER_WITH_COUNT, Site.SUPER_WITHOUT_COUNT)
_COUNTING = (Form.COUNT, Form.COUNT_TIMES_RANKS)


class Usage(Struct, frozen=True):
    """What somebody's code does. For super() sites, `form` is what the model returns."""

    site: Site
    form: Form
    accepted: bool = True  # Trainer.model_accepts_loss_kwargs; see `accepts`
    scaled: bool | None = None  # loss_is_scaled_for_ga, None where it is not set
    averages: bool | None = None  # average_tokens_across_devices, None where it is the default
    labels: bool = True  # do the batches have a key `labels`?
    ranks: bool = False  # are there several?
    guarded: bool = True  # does a counting form fall back to the mean where the count is None?
    required: bool = False  # does the override's parameter lack a default?
    deepspeed: bool = False


class Outcome(Struct, frozen=True):
    """What comes out. Powers: 1 is as many times too large, -1 too small, 0 right."""

    raises: str = ""  # the exception in training; nothing else is said then
    steps: int = 0  # power of the accumulation steps in the gradient
    ranks: int = 0  # power of the number of ranks in the gradient
    mean_of_means: bool = False  # micro-batch means are averaged: a token's weight depends on its micro-batch
    rank_local: bool = False  # each rank divides by its own count: the weight depends on the rank
    eval_raises: str = ""  # the exception in evaluation
    eval_steps: int = 0  # the same powers in the loss that evaluation reports
    eval_ranks: int = 0

    @property
    def right(self) -> bool:
        """Is the gradient that of the mean over all targets?"""
        return not (self.raises or self.steps or self.ranks or self.mean_of_means or self.rank_local)

    def scale(self, steps: int, ranks: int = 1) -> float:
        """By how much the gradient is too large."""
        return float(steps) ** self.steps * float(ranks) ** self.ranks


def accepts(
    row: ReleaseRow, keywords: str | None, *, attribute: bool | None = None, assigned: bool | None = None
) -> bool:
    """What model_accepts_loss_kwargs becomes.

    `keywords`: how the ** parameter of the model's forward is called, None where it has none. `attribute`: the model's
    accepts_loss_kwargs. `assigned`: what the Trainer subclass sets model_accepts_loss_kwargs to.
    """
    if row.accepts_by is AcceptsBy.NOTHING:
        return False
    if assigned is not None:
        return assigned
    if attribute is not None and row.accepts_attribute:
        return attribute
    return keywords == "loss_kwargs" or (keywords is not None and row.accepts_by is AcceptsBy.KWARGS)


def outcome(usage: Usage, row: ReleaseRow, engine: EngineRow | None = None) -> Outcome:
    """What `row` makes of it; `engine` is the DeepSpeed it runs with, where that is a faulty one."""
    raised = _signature_error(usage, row)
    if raised:
        return Outcome(raises=raised)
    if usage.site is Site.LOSS_FUNCTION and row.loss_function is LossFunction.NONE:
        usage = replace(usage, form=Form.MEAN)  # nothing calls it; the model's own loss stays
    counted = _counted(usage, row)
    passed = counted and _passes(usage, row)
    normalised = passed and _divides_by_count(usage, row)
    evaluated = counted and row.eval_count
    eval_normalised = evaluated and _divides_by_count(usage, row)
    lost = usage.form in _COUNTING and not usage.guarded and usage.site is not Site.SMOOTHER
    if lost and not normalised:
        return Outcome(raises="TypeError")  # the sum divided by None
    averaged = _averaged(usage, row)
    steps = 0 if normalised or usage.form is Form.MEAN_OVER_STEPS else 1
    return Outcome(
        steps=steps + _trainer_steps(usage, row, counted) + _library_steps(usage, row, engine),
        ranks=_ranks(usage, row, normalised=normalised, passed=passed) if averaged else 0,
        mean_of_means=not normalised,
        rank_local=normalised and usage.ranks and not averaged,
        eval_raises="TypeError" if (lost and not eval_normalised) or (usage.required and not row.eval_count) else "",
        eval_steps=-1 if usage.form is Form.MEAN_OVER_STEPS else 0,
        eval_ranks=_ranks(usage, row, normalised=eval_normalised, passed=evaluated) if averaged else 0,
    )


def _signature_error(usage: Usage, row: ReleaseRow) -> str:
    """The exception of a call that the release does not know, or that the code does not."""
    unknown = row.passes_count is PassesCount.NO
    if usage.site is Site.OVERRIDE_WITHOUT_PARAMETER:
        return "TypeError" if _passes(usage, row) else ""
    if usage.required and not _passes(usage, row):
        return "TypeError"
    if usage.site in (Site.FUNCTION, Site.SUPER_WITH_COUNT):
        return "TypeError" if unknown else ""
    if usage.site is Site.LOSS_FUNCTION and row.loss_function is LossFunction.FIXED:
        return "AttributeError"
    return ""


def _counted(usage: Usage, row: ReleaseRow) -> bool:
    """Does the Trainer count the window's targets?"""
    if not usage.labels or row.counts_for is CountsFor.NOBODY:
        return False
    if row.counts_for is CountsFor.EVERYBODY or usage.accepted:
        return True
    return row.counts_for is CountsFor.ACCEPTING_OR_FUNCTION and usage.site is Site.FUNCTION


def _passes(usage: Usage, row: ReleaseRow) -> bool:
    """Is compute_loss called with the count, be that None?"""
    if row.passes_count is PassesCount.INVERTED:
        return not usage.accepted
    return row.passes_count is PassesCount.YES


def _divides_by_count(usage: Usage, row: ReleaseRow) -> bool:
    """Does the loss divide by the count that compute_loss was handed?"""
    if usage.site is Site.SMOOTHER:
        return row.smoother_count
    if usage.form not in _COUNTING or usage.site in (Site.SUPER_WITHOUT_COUNT, Site.OVERRIDE_WITHOUT_PARAMETER):
        return False
    return usage.accepted or usage.site not in _OF_MODEL


def _averaged(usage: Usage, row: ReleaseRow) -> bool:
    """Is the count that of all ranks?"""
    if not usage.ranks or row.averages_tokens is None:
        return False
    return row.averages_tokens if usage.averages is None else usage.averages


def _trainer_steps(usage: Usage, row: ReleaseRow, counted: bool) -> int:
    """The power of the steps that the Trainer itself puts on the loss."""
    if row.scaled_attribute and usage.scaled is not None:
        return 0 if usage.scaled else -1
    if row.divides is Divides.MULTIPLIES:
        return 1
    function = usage.site is Site.FUNCTION
    divided = {
        Divides.NEVER: False,
        Divides.ALWAYS: not usage.deepspeed,
        Divides.UNCOUNTED: not counted,
        Divides.NOT_ACCEPTING: not usage.accepted and not function,
        Divides.NOT_ACCEPTING_OR_UNCOUNTED: not (usage.accepted and counted) and not function,
    }[row.divides]
    return -1 if divided else 0


def _library_steps(usage: Usage, row: ReleaseRow, engine: EngineRow | None) -> int:
    """The power that accelerate, or DeepSpeed in its place, puts on it."""
    if usage.deepspeed:
        faulty = 0 if engine is None else engine.divisions(outside=usage.site not in _OF_MODEL)
        return -max(int(row.deepspeed_divides), faulty)
    return -1 if row.accelerate_divides else 0


def _ranks(usage: Usage, row: ReleaseRow, *, normalised: bool, passed: bool) -> int:
    """The power of the ranks where the Trainer averages over them."""
    power = -1 if normalised else 0
    if normalised and usage.form is Form.COUNT_TIMES_RANKS:
        power += 1
    if usage.site in _OVERRIDES:
        return power
    seen = passed and usage.site is not Site.SUPER_WITHOUT_COUNT
    applied = {
        RankFactor.NOWHERE: False,
        RankFactor.ACCEPTING: usage.accepted,
        RankFactor.COUNTED: (usage.accepted or usage.site is Site.FUNCTION) and seen,
    }[row.rank_factor]
    return power + applied
