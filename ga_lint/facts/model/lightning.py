"""What can be known about a Lightning step and its Trainer?"""

from __future__ import annotations

from msgspec import Struct

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model.losses import Place
from ga_lint.facts.model.trainers import Returned
from ga_lint.facts.model.windows import Answer


class Accumulation(Struct, frozen=True):
    """How many batches a Lightning Trainer accumulates, as far as this file or its project says."""

    answer: Answer  # yes: more than one; unknown: no Trainer in sight
    confidence: Confidence = Confidence.POSSIBLE
    steps: str = ""  # as written
    steps_value: float | None = None
    place: Place | None = None  # where the number is written


class LightningStep(Struct, frozen=True):
    """The `training_step` of a LightningModule that leaves optimisation to Lightning."""

    function: Place
    scope: str
    returns: tuple[Returned, ...]
    accumulation: Accumulation
    wrapped: tuple[Place, ...] = ()  # returns of a dictionary or a model's output that holds the loss
    inherits_hook: bool = False  # a base class of the project has the hook before the optimizer's step
    logs_by_returning: bool = False  # a return holds "log" or "progress_bar", which Lightning read before 1.0
    mentions_deepspeed: bool = False  # this file, or the one that sets the accumulation, speaks of DeepSpeed


class DeepSpeedTrainer(Struct, frozen=True):
    """A Lightning Trainer that accumulates and runs on a DeepSpeed engine."""

    place: Place  # the argument that sets the steps
    steps_value: float | None
