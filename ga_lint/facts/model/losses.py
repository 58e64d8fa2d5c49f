"""What can be known about one loss: where it is reduced, over what, and by what it is divided?"""

from __future__ import annotations

import enum
from pathlib import Path

from msgspec import Struct

from ga_lint.compared import Compared
from ga_lint.diagnostics import Confidence, Step
from ga_lint.source import Span

ADDED_TERM = "a term of its own"  # the callee of what is added to a loss and not known to be one
OWN_LOSS = "own loss"  # how the callee ends where a model computes its loss itself: "self.model's own loss"
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
    SHAPE = "a function of the loss"  # `loss.exp()`: no multiple of it
    CAP = "a bound"  # `loss.clamp(max=5)`: itself, mostly
    OTHER = "something else"


class Place(Struct, frozen=True):
    """A span in a file."""

    path: Path
    span: Span

    def as_step(self, message: str) -> Step:
        """What is to be said of it in a finding's trace."""
        return Step(message, self.path, self.span)


class Counted(Struct, frozen=True):
    """What a count runs over, as the loop over micro-batches would write it."""

    source: str  # `batch["labels"]`
    leaves_out: str | None = None  # the value of those that do not count; None: the source is a mask
    shifted: bool = False


class Divisor(Struct, frozen=True):
    """The number of targets in one micro-batch, as an expression that may be written at `place` once more.

    At the call of a helper that returns the loss, the text is empty where the caller cannot write it.
    """

    text: str
    place: Place
    in_pair: bool = False  # what the call there returns is a tuple, and the loss its first element


class Factor(Compared, frozen=True):
    """One multiplication (`power` 1) or division (`power` -1) of a loss."""

    beside = frozenset(("divisor", "counted_at"))

    kind: FactorKind
    power: int
    text: str  # as the user wrote it: "args.gradient_accumulation_steps"
    place: Place  # the whole operation: `loss / steps`, `loss /= steps`
    value: float | None = None  # where it is literal
    counted: str = ""  # the text of what a count runs over
    shifted: bool = False  # the count leaves the first label out
    targets: Counted | None = None  # what is counted, where the batch itself holds it
    divisor: Divisor | None = None  # the count of this micro-batch, where it is one
    counted_at: Place | None = None  # where the count of one micro-batch is written

    @property
    def counts_scalar(self) -> bool:
        """Is it `numel()` of one number, and so 1?"""
        return self.counted == SCALAR


class LossSite(Compared, frozen=True):
    """Where a loss is computed and reduced.

    `call` is the call that computes it, `reduced` the place where it becomes one number (the same place for
    `F.cross_entropy`, the `.mean()` or the division for masked means).
    """

    beside = frozenset(("divisor", "rescaled_at"))

    callee: str  # "torch.nn.functional.cross_entropy", "self.model's own loss"
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
    mask_from: str = ""  # likewise for the mask, or for what it was made of
    targets: Counted | None = None  # what the count that made it a mean by hand runs over, or what a mask has picked
    labels_remade: bool = False  # some of the batch's targets are masked, cut off or replaced before the loss
    weighted: bool = False  # class weights: its mean is not the sum over the number of targets
    weighed: bool = False  # its elements are multiplied by something of which little is known
    scope: str = ""  # the function that holds the call
    depth: int = 0  # how many loops are running where it is computed
    via: tuple[Step, ...] = ()  # the calls of helpers that it came through, the outermost first
    divisor: Divisor | None = None  # of a mean over some of the positions
    constructor: Place | None = None  # where the loss object was built
    ragged: tuple[Step, ...] = ()  # why its counts can differ between micro-batches
    tags: tuple[Step, ...] = ()  # its head tags tokens, and no padding has a tag
    named_labels: bool = False  # its targets come under a name of their own, apart from the inputs
    explicit_ignore: bool = False  # an ignore index was passed
    counted: bool = False  # the callee was handed the window's count and divides by it
    averaged_over: str = ""  # what the count that made it a mean by hand runs over
    per_row: bool = False  # each row's tokens were averaged before the rows were put together
    rescaled_by: str = ""  # what the count runs over that a mean was multiplied with to be a sum again
    rescaled_as: str = ""  # that count as it is written
    rescaled_shifted: bool = False  # that count leaves the first label out
    rescaled_at: Place | None = None  # where that count is written
    live: Counted | None = None  # what a mask picks that was multiplied in before it was summed
    collected: int = 0  # id of the loop over whose rounds it is gathered in a list or a total, before one backward
    gathered_at: int | None = None  # how many loops are running where such a loop has ended

    @property
    def outside(self) -> int:
        """How many loops are running where the whole of it stands: chunks that are put together make one loss."""
        return self.depth if self.gathered_at is None else self.gathered_at

    @property
    def has_own_counts(self) -> bool:
        """Is it put together of the means of several parts, each over a count of its own?"""
        return self.gathered_at is not None and self.reduction is Reduction.MEAN and not self.averaged_over

    @property
    def is_of_chunks(self) -> bool:
        """Is it the sum over several parts, divided by one count of them all?"""
        return self.gathered_at is not None and self.reduction is Reduction.MEAN and bool(self.averaged_over)

    @property
    def is_models_own(self) -> bool:
        """Does a model compute it, from labels that it was called with?"""
        return self.callee.endswith(OWN_LOSS)


class LossTerm(Struct, frozen=True):
    """One summand of the loss: a reduced loss times factors."""

    site: LossSite
    factors: tuple[Factor, ...] = ()

    def factors_of(self, kind: FactorKind) -> tuple[Factor, ...]:
        return tuple(factor for factor in self.factors if factor.kind is kind)

    def power_of(self, kind: FactorKind) -> int:
        return sum(factor.power for factor in self.factors_of(kind))

    @property
    def count_division(self) -> Factor | None:
        """Where the window's count over all ranks divides it, if it is seen to."""
        return next((factor for factor in self.factors_of(FactorKind.GLOBAL_COUNT) if factor.power < 0), None)

    @property
    def is_shaped(self) -> bool:
        """Is it another function of the mean than a multiple? The shares of such a one do not add up."""
        return any(factor.kind in (FactorKind.SHAPE, FactorKind.CAP) for factor in self.factors)

    @property
    def uses_count(self) -> bool:
        """Is it a sum that the window's count divides, here or in the callee?"""
        return self.site.counted or self.power_of(FactorKind.GLOBAL_COUNT) < 0
