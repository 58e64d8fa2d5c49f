"""What can be known about how a Trainer is set up: its training arguments and the model that it is handed?"""

from __future__ import annotations

from msgspec import Struct

from ga_lint.diagnostics import Step
from ga_lint.facts.model.losses import Place
from ga_lint.facts.model.windows import Answer

LOCAL_AVERAGE = b"average_tokens_across_devices"
# A file without any of these sets no Trainer up, or none of which a rule has anything to say.
SETUP_WORDS = (b"Trainer(", b"gradient_accumulation_steps", LOCAL_AVERAGE)


class Argument(Struct, frozen=True):
    """One argument as it is written, with its number where that is literal."""

    place: Place
    text: str
    value: float | None = None


class LocalAverage(Struct, frozen=True):
    """Where the count over all ranks is turned off: in an "argument", a "statement", or a "field" of a class."""

    place: Place
    role: str


class Arguments(Struct, frozen=True):
    """Training arguments, where they are built: `TrainingArguments(...)`, `SFTConfig(...)`."""

    place: Place
    called: str
    steps: Argument | None = None  # gradient_accumulation_steps; 1 where it is not passed
    smoothing: Argument | None = None  # label_smoothing_factor
    deepspeed: Argument | None = None

    @property
    def accumulates(self) -> Answer:
        """Has a window more than one micro-batch?"""
        if self.steps is None:
            return Answer.NO
        if self.steps.value is None:
            return Answer.UNKNOWN
        return Answer.YES if self.steps.value > 1 else Answer.NO


class TrainerSetup(Struct, frozen=True):
    """A Trainer, where it is built, with what is known of its model and of its arguments."""

    place: Place  # the call
    scope: str
    trainer: str  # the Trainer that it reaches: "transformers.Trainer"
    model: Place | None = None  # the argument
    head: str | None = None  # the class that made the model, as resolved
    arguments: Arguments | None = None  # None where they were not seen
    own_loss: bool = False  # its class or an argument replaces the loss of the model
    override: Place | None = None  # the `compute_loss` of its class, where that is the project's own
    function: bool = False  # a compute_loss_func is handed over
    opted_out: tuple[Step, ...] = ()  # where the count is declined for it
