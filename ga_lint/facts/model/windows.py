"""What can be known about a window: the micro-batches between two optimizer steps, and who divides?"""

from __future__ import annotations

import enum

from msgspec import Struct

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.model.losses import Factor, LossTerm, Place

LOOP_WORDS = (b"backward(", b"zero_grad(")  # a file without either holds no loop; backward can be in another file


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


class Raggedness(Struct, frozen=True):
    """Can two micro-batches of one window hold different numbers of targets, and how do we know?"""

    answer: Answer
    confidence: Confidence
    evidence: tuple[Step, ...] = ()


class LibraryDivision(Struct, frozen=True):
    """What the stack itself divides the loss by inside its `backward`."""

    answer: Answer
    steps: str = ""  # the text of the steps it divides by
    steps_value: float | None = None
    by: str = ""  # "Accelerator(gradient_accumulation_steps=8)", "the DeepSpeed engine"
    place: Place | None = None  # where it was configured


class Scaling(Struct, frozen=True):
    """A multiplication or division of gradients: `p.grad.mul_(...)`."""

    place: Place
    factors: tuple[Factor, ...]
    loop: Place | None  # the header of the outermost loop around it


class Window(Struct, frozen=True):
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
    added: tuple[Place, ...] = ()  # where something that could not be followed is added to one of the losses
    trivial: bool = False  # the steps are 1 and nothing can change that
    driver: str = ""  # the text of what runs backward: "accelerator", "" for the loss itself
    fetch: Place | None = None  # the first statement of a counted loop, where it draws the micro-batch
    scalings: tuple[Scaling, ...] = ()  # where the file scales gradients by hand
    at_end: bool = False  # the gate opens at the loader's end too, after a window that may be shorter
    stepped_behind: bool = False  # the optimizer steps right behind the loop too, on what is left over
    cleared: Place | None = None  # where every round clears the gradients that only some rounds step on
    divided_after: Factor | None = None  # the loss is divided by the steps when backward has run already
    added_up: bool = False  # the losses of a window are added up, and backward runs once
    steps_by_engine: bool = False  # what runs backward is what steps: `engine.backward(loss)`, `engine.step()`
    mentions_deepspeed: bool = False  # the file speaks of DeepSpeed, which would own the gradients
    may_be_wrapped: bool = False  # the file speaks of ranks, and nothing in it averages their gradients
    sets_reduction: bool = False  # the file itself says how gradients are put together over the ranks
    runs_over: str = ""  # what an inner loop runs over, as the loop writes it: the window itself
    shared: tuple[Place, ...] = ()  # calls and divisions of its loss that a backward of another kind depends on too
    sets_boundary: bool = False  # the file tells the DeepSpeed engine itself where a window ends

    @property
    def rescaled(self) -> bool:
        """Are gradients multiplied or divided after backward?"""
        return bool(self.scalings)

    @property
    def gates_engine(self) -> bool:
        """Is a DeepSpeed engine stepped once for several backwards, of which it takes each for the last of a window?"""
        return self.stack is Stack.DEEPSPEED and not self.sets_boundary and self.steps_by_engine

    traced_steps: str = ""  # what `steps` was computed from, where the gate names it otherwise
