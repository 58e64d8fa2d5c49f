"""What can be known about a loss and its window? Plain frozen types: spans and texts, never nodes."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from ga_lint.diagnostics import Confidence, Step
from ga_lint.source import Span


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
    masked: bool = False  # a mask was multiplied in before it was reduced
    shifted: bool | None = None
    labels: str | None = None  # the text of the targets, as passed
    steps: tuple[Step, ...] = ()  # through which helpers it came


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One summand of the loss: a reduced loss times factors."""

    site: LossSite
    factors: tuple[Factor, ...] = ()

    def factors_of(self, kind: FactorKind) -> tuple[Factor, ...]:
        return tuple(factor for factor in self.factors if factor.kind is kind)

    def power_of(self, kind: FactorKind) -> int:
        return sum(factor.power for factor in self.factors_of(kind))
