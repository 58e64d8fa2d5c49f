"""What can be known about a loss and its window? Plain frozen types: spans and texts, never nodes."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from ga_lint.diagnostics import Confidence, Step
from ga_lint.source import Span

LOOP_WORDS = (b"backward(", b"zero_grad(")  # a file without either holds no loop; backward can be in another file


SCALAR = "a scalar"  # what is counted where `numel()` of a loss is always 1


class Reduction(enum.Enum):
    """How a loss over many elements becomes one number."""

    MEAN = "mean"
    SUM = "sum"
    NONE = "none"
    UNKNOWN = "unknown"


class Level(enum.Enum):
    """What one element of the loss is: a token, or a whole sample (a sequence, an image, a pair)."""

    TOKEN = "token"
    SAMPLE = "sample"
    UNKNOWN = "unknown"


class FactorKind(enum.Enum):
    """What the loss is multiplied or divided by."""

    STEPS = "accumulation steps"
    LOCAL_COUNT = "this micro-batch's count"
    RUNNING_COUNT = "the count of the window so far"
    WINDOW_COUNT = "this rank's count for the window"
    GLOBAL_COUNT = "the window's count over all ranks"
    WORLD = "number of ranks"
    CONSTANT = "constant"
    OTHER = "something else"


@dataclass(frozen=True, slots=True)
class Place:
    """A span in a file."""

    path: Path
    span: Span


@dataclass(frozen=True, slots=True)
class Factor:
    """One multiplication (`power` 1) or division (`power` -1) of a loss."""

    kind: FactorKind
    power: int
    text: str  # as the user wrote it: "args.gradient_accumulation_steps"
    place: Place  # the whole operation: `loss / steps`, `loss /= steps`
    value: float | None = None  # where it is literal
    counted: str = ""  # the text of what a count runs over

    @property
    def counts_scalar(self) -> bool:
        """Is it `numel()` of one number, and so 1?"""
        return self.counted == SCALAR


@dataclass(frozen=True, slots=True)
class LossSite:
    """Where a loss is computed and reduced.

    `call` is the call that computes it, `reduced` the place where it becomes one number (the same place for
    `F.cross_entropy`, the `.mean()` or the division for masked means).
    """

    callee: str  # "torch.nn.functional.cross_entropy", "the model's own loss"
    reduction: Reduction
    level: Level
    call: Place
    reduced: Place
    confidence: Confidence
    ignore_index: str | None = None
    policy: bool = False  # weighted by advantages or probability ratios: a reinforcement-learning objective
    masked: bool = False  # a mask was multiplied in before it was reduced
    shifted: bool | None = None  # None where that is not known
    labels: str | None = None  # the text of the targets, as passed
    labels_from: str = ""  # the same, as the loop over micro-batches would write them: `batch["labels"]`
    mask_from: str = ""  # likewise for the mask
    weighted: bool = False  # class weights: its mean is not the sum over the number of targets
    scope: str = ""  # the function that holds the call
    depth: int = 0  # how many loops are running where it is computed
    via: tuple[Step, ...] = ()  # through which helpers it came
    constructor: Place | None = None  # where the loss object was built
    ragged: tuple[Step, ...] = ()  # why its counts can differ between micro-batches
    equal: tuple[Step, ...] = ()  # why they cannot
    named_labels: bool = False  # its targets come under a name of their own, apart from the inputs
    explicit_ignore: bool = False  # an ignore index was passed
    counted: bool = False  # the callee was handed the window's count and divides by it


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One summand of the loss: a reduced loss times factors."""

    site: LossSite
    factors: tuple[Factor, ...] = ()

    def factors_of(self, kind: FactorKind) -> tuple[Factor, ...]:
        return tuple(factor for factor in self.factors if factor.kind is kind)

    def power_of(self, kind: FactorKind) -> int:
        return sum(factor.power for factor in self.factors_of(kind))


class Idiom(enum.Enum):
    """How the code marks the end of a window."""

    GATE = "modulo gate"
    INNER_LOOP = "inner loop"
    ACCUMULATE = "accumulate()"
    ENGINE = "engine"


class Stack(enum.Enum):
    """What runs backward and averages gradients."""

    RAW = "PyTorch"
    DDP = "DDP"
    FSDP = "FSDP"
    ACCELERATE = "accelerate"
    DEEPSPEED = "DeepSpeed"
    FABRIC = "Fabric"
    LIGHTNING = "Lightning"


class Answer(enum.Enum):
    """Yes, no, or it could not be seen."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Raggedness:
    """Can two micro-batches of one window hold different numbers of targets, and how do we know?"""

    answer: Answer
    confidence: Confidence
    evidence: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class LibraryDivision:
    """What the stack itself divides the loss by inside its `backward`."""

    answer: Answer
    steps: str = ""  # the text of the steps it divides by
    steps_value: float | None = None
    by: str = ""  # "Accelerator(gradient_accumulation_steps=8)", "the DeepSpeed engine"
    place: Place | None = None  # where it was configured


@dataclass(frozen=True, slots=True)
class Scaling:
    """A multiplication or division of gradients: `p.grad.mul_(...)`."""

    place: Place
    factors: tuple[Factor, ...]
    loop: Place | None  # the header of the outermost loop around it


@dataclass(frozen=True, slots=True)
class Window:
    """The micro-batches between two optimizer steps, and the loss that goes into each backward.

    `losses` holds one tuple of terms for each path on which another loss reaches this backward.
    """

    idiom: Idiom
    stack: Stack
    steps: str  # the accumulation steps as written, "" where they are not
    steps_value: float | None
    gate: Place | None  # the test, or the inner loop's header
    loop: Place  # the whole innermost loop statement that holds backward
    backward: Place  # the call
    caller: Place  # the same, or the call in the loop's own file that leads to it
    handed_over: Place  # the loss as it is handed to backward
    handed_over_text: str
    optimizer_step: Place
    losses: tuple[tuple[LossTerm, ...], ...]
    library: LibraryDivision
    scope: str
    function: Place | None
    trivial: bool = False  # the steps are 1 and nothing can change that
    driver: str = ""  # the text of what runs backward: "accelerator", "" for the loss itself
    fetch: Place | None = None  # the first statement of a counted loop, where it draws the micro-batch
    scalings: tuple[Scaling, ...] = ()  # where the file scales gradients by hand
    at_end: bool = False  # the gate opens at the loader's end too, after a window that may be shorter
    cleared: Place | None = None  # where every round clears the gradients that only some rounds step on
    divided_after: Factor | None = None  # the loss is divided by the steps when backward has run already
    added_up: bool = False  # the losses of a window are added up, and backward runs once
    steps_by_engine: bool = False  # what runs backward is what steps: `engine.backward(loss)`, `engine.step()`
    mentions_deepspeed: bool = False  # the file speaks of DeepSpeed, which would own the gradients
    sets_boundary: bool = False  # the file tells the DeepSpeed engine itself where a window ends

    @property
    def rescaled(self) -> bool:
        """Are gradients multiplied or divided after backward?"""
        return bool(self.scalings)

    traced_steps: str = ""  # what `steps` was computed from, where the gate names it otherwise


@dataclass(frozen=True, slots=True)
class Parameter:
    """How an override can receive the count."""

    name: str | None  # the parameter that holds it, `num_items_in_batch` or the third of training_step
    keywords: str | None  # the name of `**kwargs`, if any
    variadic: str | None  # the name of `*args`, if any
    place: Place  # the whole signature, from `(` to `)`


@dataclass(frozen=True, slots=True)
class SuperCall:
    """`super().compute_loss(...)` or `super().training_step(...)` inside an override."""

    method: str
    place: Place
    forwards_count: bool


@dataclass(frozen=True, slots=True)
class Returned:
    """One `return` of an override, with the loss terms on one path; `terms` is None where the loss was not seen."""

    place: Place
    terms: tuple[LossTerm, ...] | None
    sums: tuple[tuple[LossTerm, ...], ...] = ()  # the same, the terms of each sum that it may be together


# What an opt-out says where TRL's trick is used: any value that is not None keeps the Trainer from scaling at all.
ALL_OFF = "a string is passed as compute_loss_func to disable scaling"


@dataclass(frozen=True, slots=True)
class Override:
    """A `compute_loss` or `training_step` of a class that reaches transformers' Trainer."""

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
    own_step: bool = False  # only a `training_step` of the project's own calls it
    backwards: tuple[Returned, ...] = ()  # what its own calls of backward are handed
    replaced: tuple[Place, ...] = ()  # where it puts other labels into the batch
    counts_itself: bool = False  # its class says what is counted: `_get_num_items_in_batch`


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


@dataclass(frozen=True, slots=True)
class LossFunction:
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


LOCAL_AVERAGE = b"average_tokens_across_devices"
HEADS_LOSS = "the head's loss_function"  # the callee of `self.loss_function(...)` in a model of transformers
# A file without any of these computes no loss in a forward.
FORWARD_WORDS = (b"loss_fct(", b"loss_function(", b"CrossEntropyLoss(", b"cross_entropy(", b"labels=labels")


@dataclass(frozen=True, slots=True)
class ModelForward:
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


@dataclass(frozen=True, slots=True)
class Accumulation:
    """How many batches a Lightning Trainer accumulates, as far as this file or its project says."""

    answer: Answer  # yes: more than one; unknown: no Trainer in sight
    confidence: Confidence = Confidence.POSSIBLE
    steps: str = ""  # as written
    steps_value: float | None = None
    place: Place | None = None  # where the number is written


@dataclass(frozen=True, slots=True)
class LightningStep:
    """The `training_step` of a LightningModule that leaves optimisation to Lightning."""

    function: Place
    scope: str
    returns: tuple[Returned, ...]
    accumulation: Accumulation


@dataclass(frozen=True, slots=True)
class DeepSpeedTrainer:
    """A Lightning Trainer that accumulates and runs on a DeepSpeed engine."""

    place: Place  # the argument that sets the steps
    steps_value: float | None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Everything the rules may know about one file."""

    path: Path
    windows: tuple[Window, ...] = ()
    overrides: tuple[Override, ...] = ()
    lightning_steps: tuple[LightningStep, ...] = ()
    deepspeed_trainers: tuple[DeepSpeedTrainer, ...] = ()
    loss_functions: tuple[LossFunction, ...] = ()
    forwards: tuple[ModelForward, ...] = ()
    local_averages: tuple[Place, ...] = ()  # `average_tokens_across_devices=False`
    raggedness: tuple[tuple[LossSite, Raggedness], ...] = ()

    def raggedness_of(self, site: LossSite) -> Raggedness:
        """Whether the counts behind a loss can differ; asked for every site of a window."""
        return dict(self.raggedness)[site]
