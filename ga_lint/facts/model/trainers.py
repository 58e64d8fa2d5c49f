"""What can be known about a class, a function or a model that a Trainer hands its count to?"""

from __future__ import annotations

import enum

from msgspec import Struct

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.model.losses import Level, LossTerm, Place
from ga_lint.facts.model.windows import Answer


class Parameter(Struct, frozen=True):
    """How an override can receive the count."""

    name: str | None  # the parameter that holds it, `num_items_in_batch` or the third of training_step
    keywords: str | None  # the name of `**kwargs`, if any
    variadic: str | None  # the name of `*args`, if any
    place: Place  # the whole signature, from `(` to `)`


class SuperCall(Struct, frozen=True):
    """`super().compute_loss(...)` or `super().training_step(...)` inside an override."""

    method: str
    place: Place
    forwards_count: bool
    unpacks: bool = False  # it passes `**kwargs` on


class Returned(Struct, frozen=True):
    """One `return` of an override, with the loss terms on one path; `terms` is None where the loss was not seen."""

    place: Place
    terms: tuple[LossTerm, ...] | None
    sums: tuple[tuple[LossTerm, ...], ...] = ()  # the same, the terms of each sum that it may be together
    partly: bool = False  # on some path what is returned could not be followed
    depth: int = 0  # of what backward is handed: how many loops are running there
    added: tuple[Place, ...] = ()  # where something that could not be followed is added


# A file without any of these overrides nothing that computes a loss, or nothing that steps.
LOSS_OVERRIDE_WORDS = (b"def compute_loss", b".compute_loss = ")
STEP_OVERRIDE_WORDS = (b"def training_step", b".training_step = ")
UNKNOWN_BASE = "a base class held in a variable"

# What an opt-out says where TRL's trick is used: any value that is not None keeps the Trainer from scaling at all.
ALL_OFF = "a string is passed as compute_loss_func to disable scaling"


class Override(Struct, frozen=True):
    """A `compute_loss`, `training_step` or `_prepare_inputs` of a class that reaches transformers' Trainer."""

    cls: str
    base: str  # the external base that it reaches, as resolved
    method: str
    name: Place  # the `def` line up to the colon
    function: Place
    scope: str
    parameter: Parameter
    returns: tuple[Returned, ...]
    super_calls: tuple[SuperCall, ...]
    opted_out: tuple[Step, ...]  # what keeps the Trainer from passing or trusting a count
    confidence: Confidence  # that the class is a Trainer
    sample_base: bool = False  # its base is known to train on per-sample losses
    labels_in_batch: Answer = Answer.UNKNOWN
    loss_reads: tuple[tuple[Place, Place], ...] = ()  # (the model call, where the loss is read from its output)
    local_average: bool = False  # the file turns average_tokens_across_devices off
    level: Level = Level.UNKNOWN  # of the heads that the file of a `training_step` names
    own_step: bool = False  # only a `training_step` of the project's own calls it
    own_loop: bool = False  # a `train` of the project's own calls `training_step`
    backwards: tuple[Returned, ...] = ()  # what its own calls of backward are handed
    backwards_elsewhere: tuple[Returned, ...] = ()  # the same in functions that it calls, nested ones included
    replaced: tuple[Place, ...] = ()  # where it puts other labels into the batch
    counts_itself: bool = False  # its class says what is counted: `_get_num_items_in_batch`
    unguarded: tuple[Place, ...] = ()  # where it computes with the count without asking whether there is one
    accepted: Answer = Answer.UNKNOWN  # is the model that it trains one that takes the count?
    models: tuple[Step, ...] = ()  # where that was read, of models that take none
    asks_who_divides: bool = False  # it divides by the steps where the Trainer's own step would
    steps_by_itself: bool = False  # it steps an optimizer, or names the steps outside of what it returns
    clears_by_itself: bool = False  # it clears gradients, so that nothing is added up over a window


# A file without any of these names no loss function.
LOSS_FUNCTION_WORDS = (
    b"compute_loss_func",
    b"LOSS_MAPPING",
    b".loss_function = ",
    b"._loss_function = ",
    b"def For",
    b"register_loss",
    b"loss_map",
)


class LossRole(enum.Enum):
    """Who calls a loss function."""

    ARGUMENT = "compute_loss_func"  # the Trainer, by keyword; it never divides what comes back
    MODEL = "loss_function"  # a model's forward, with what it was passed
    REGISTERED = "registered"  # whoever looks it up in a registry of losses of the project's own


class LossFunction(Struct, frozen=True):
    """A function that computes the loss for a Trainer or for a model that a Trainer trains."""

    role: LossRole
    called: str  # its name
    handed_over: Place  # where it is passed, assigned or registered
    name: Place  # its name on the `def` line
    function: Place
    scope: str
    parameter: Parameter
    returns: tuple[Returned, ...]
    confidence: Confidence
    unguarded: tuple[Place, ...] = ()  # where it computes with the count without asking whether there is one


SUPERS_LOSS = "super().compute_loss"  # the callee of the Trainer's own loss in an override
TRAINERS_SMOOTHER = "transformers.trainer_pt_utils.LabelSmoother"  # of `self.label_smoother(...)` in an override
HEADS_LOSS = "the head's loss_function"  # the callee of `self.loss_function(...)` in a model of transformers
# A file without one of each computes no loss in a forward: where it is written or assigned, and what speaks of a loss.
FORWARD_NAMES = (b"def forward(", b".forward = ")
FORWARD_WORDS = (b"loss_fct(", b"loss_function(", b"CrossEntropyLoss(", b"cross_entropy(", b"LMLoss(", b"=labels")


def may_hold_forward(data: bytes) -> bool:
    """Can there be a forward that takes labels in a file?"""
    return b"labels" in data and any(word in data for word in FORWARD_NAMES)


class ModelForward(Struct, frozen=True):
    """The `forward` of a model that takes `labels` and returns a loss."""

    cls: str
    base: str  # what makes it a model that a Trainer trains
    name: Place  # its name on the `def` line
    function: Place
    scope: str
    parameter: Parameter
    returns: tuple[Returned, ...]
    declared: tuple[Step, ...]  # where it is said whether it uses the count
    confidence: Confidence
    level: Level = Level.UNKNOWN  # of a head of that name
