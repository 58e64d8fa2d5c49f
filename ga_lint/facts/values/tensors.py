"""What is known of models, of the batches that they are called with, and of what they return?"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.compared import Compared
from ga_lint.diagnostics import Step
from ga_lint.facts.model import Counted, Level

if TYPE_CHECKING:
    from ga_lint.facts.values import Value


class Model(Compared, frozen=True):
    """Something that is called with a batch: a network, wrapped or not."""

    beside = frozenset(("head",))

    level: Level = Level.UNKNOWN  # of the loss that it computes itself
    head: str | None = None  # the class or factory it was made by
    shifts: bool | None = None  # does its own loss drop the first label? None where that is not known
    engine: bool = False  # a DeepSpeed engine, which divides by itself
    inner: Value | None = None  # the project's own network inside it
    steps: Value | None = None  # what the engine divides by; None where its configuration is not in sight


class TensorKind(enum.Enum):
    """What the elements of a tensor mean."""

    LOGITS = "logits"
    LABELS = "labels"
    MASK = "mask"
    BATCH = "batch"
    LOG_PROBS = "per-token log-probabilities"
    OTHER = "tensor"


class Part(enum.Enum):
    """Which part of a cross-entropy that is written out was computed of logits?"""

    EXPONENTIALS = "exponentials"
    TOTAL = "their sum over the vocabulary"
    NORMALISER = "its logarithm"
    TARGETS = "the logits of the targets"


class Tensor(Compared, frozen=True):
    """A tensor, or a batch of them. `ragged` holds why the number of its targets can differ."""

    beside = frozenset(("origin",))

    kind: TensorKind
    text: str = ""
    shifted: bool = False
    flat: bool = False  # (batch, time, ...) was flattened to (batch * time, ...): its elements are tokens
    from_batch: bool = False  # it stands under a key of its own in the batch
    per_sample: bool = False  # the time axis is gone: its elements are samples
    difference: bool = False  # predictions less targets, or one model's less another's: squared, it is a loss
    ragged: tuple[Step, ...] = ()
    origin: str = ""  # how the loop that yields the batch would write it
    leaves_out: str = ""  # of a mask of the batch's own labels: the value that it leaves out, -100
    remade: bool = False  # its elements are others than the batch's: filled, masked, cut or computed with
    part: Part | None = None  # of logits: what a cross-entropy is put together of
    kept: bool = False  # a mask has picked its elements: as many as there happen to be
    picked: Counted | None = None  # what a mask kept of the batch's labels, and nothing else is left: all are targets


class Output(Struct, frozen=True):
    """What a model returned: `.loss` is there when it was called with labels."""

    model: Model
    loss: Value
    first: Value  # `outputs[0]`
