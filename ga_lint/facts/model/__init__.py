"""What can be known about a file? Plain frozen types: spans and texts, never nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from ga_lint.facts.model.lightning import (
    Accumulation,
    DeepSpeedTrainer,
    LightningStep,
)
from ga_lint.facts.model.losses import (
    ADDED_TERM,
    OWN_LOSS,
    SCALAR,
    Counted,
    Divisor,
    Factor,
    FactorKind,
    Level,
    LossSite,
    LossTerm,
    Place,
    Reduction,
)
from ga_lint.facts.model.setups import LOCAL_AVERAGE, SETUP_WORDS, Argument, Arguments, LocalAverage, TrainerSetup
from ga_lint.facts.model.trainers import (
    ALL_OFF,
    FORWARD_WORDS,
    HEADS_LOSS,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    STEP_OVERRIDE_WORDS,
    SUPERS_LOSS,
    TRAINERS_SMOOTHER,
    UNKNOWN_BASE,
    LossFunction,
    LossRole,
    ModelForward,
    Override,
    Parameter,
    Returned,
    SuperCall,
    may_hold_forward,
)
from ga_lint.facts.model.windows import (
    LOOP_WORDS,
    Answer,
    Idiom,
    LibraryDivision,
    Raggedness,
    Scaling,
    Stack,
    Window,
)

__all__ = [
    "ADDED_TERM",
    "ALL_OFF",
    "FORWARD_WORDS",
    "HEADS_LOSS",
    "LOCAL_AVERAGE",
    "LOOP_WORDS",
    "LOSS_FUNCTION_WORDS",
    "LOSS_OVERRIDE_WORDS",
    "OWN_LOSS",
    "SCALAR",
    "SETUP_WORDS",
    "STEP_OVERRIDE_WORDS",
    "SUPERS_LOSS",
    "TRAINERS_SMOOTHER",
    "UNKNOWN_BASE",
    "Accumulation",
    "Answer",
    "Argument",
    "Arguments",
    "Counted",
    "DeepSpeedTrainer",
    "Divisor",
    "Factor",
    "FactorKind",
    "FileFacts",
    "Idiom",
    "Level",
    "LibraryDivision",
    "LightningStep",
    "LocalAverage",
    "LossFunction",
    "LossRole",
    "LossSite",
    "LossTerm",
    "ModelForward",
    "Override",
    "Parameter",
    "Place",
    "Raggedness",
    "Reduction",
    "Returned",
    "Scaling",
    "Stack",
    "SuperCall",
    "TrainerSetup",
    "Window",
    "may_hold_forward",
]


class FileFacts(Struct, frozen=True):
    """Everything the rules may know about one file."""

    path: Path
    windows: tuple[Window, ...] = ()
    overrides: tuple[Override, ...] = ()
    lightning_steps: tuple[LightningStep, ...] = ()
    deepspeed_trainers: tuple[DeepSpeedTrainer, ...] = ()
    loss_functions: tuple[LossFunction, ...] = ()
    forwards: tuple[ModelForward, ...] = ()
    arguments: tuple[Arguments, ...] = ()
    setups: tuple[TrainerSetup, ...] = ()
    local_averages: tuple[LocalAverage, ...] = ()  # `average_tokens_across_devices=False`
    raggedness: Mapping[LossSite, Raggedness] = field(default_factory=dict)

    def raggedness_of(self, site: LossSite) -> Raggedness:
        """Whether the counts behind a loss can differ; asked for every site of a window."""
        return self.raggedness[site]
