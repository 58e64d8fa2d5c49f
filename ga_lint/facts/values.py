"""What can a name stand for? The abstract values that the interpreter computes with.

Only what matters for a loss is told apart: losses and counts exactly, models, loaders and batches by kind, all the rest
is `UNKNOWN`. Values are immutable and compare by content, so that paths on which nothing that matters differs can be
joined again.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ga_lint.diagnostics import Step
from ga_lint.facts.model import Counted, Divisor, Factor, Level, LossSite, LossTerm, Place

if TYPE_CHECKING:
    from ga_lint.facts.scopes import Scope

MAX_CHOICES = 8  # beyond this a value with so many alternatives says nothing any more


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known; it is not one of the things that matter as far as can be seen."""


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class Const:
    """A literal: a string, a number, a bool or None, with the name that stood for it, if any."""

    value: object
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A value that is only known by the expression that names it, such as `args.gradient_accumulation_steps`."""

    text: str
    value: float | None = None  # its number, where a default or a literal gives it


@dataclass(frozen=True, slots=True)
class External:
    """Something defined outside the project, by its qualified name: `torch.nn.functional.cross_entropy`."""

    name: str


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the project."""

    scope: Scope = field(repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Built:
    """An object made by calling an External: `DataLoader(...)`, `Accelerator(...)`, `CrossEntropyLoss(...)`."""

    name: str
    positional: tuple[Value, ...]
    named: tuple[tuple[str, Value], ...]
    place: Place

    def argument(self, position: int | None, *names: str) -> Value | None:
        """The argument by any of its names, or by position; None when it was not passed."""
        for name, value in self.named:
            if name in names:
                return value
        if position is not None and position < len(self.positional):
            return self.positional[position]
        return None


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the project, with the scope that it was defined in and the object it is bound to."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda = field(hash=False)
    scope: Scope = field(repr=False, hash=False)
    bound: Value | None = None
    preset: tuple[tuple[str, Value], ...] = ()  # functools.partial


@dataclass(frozen=True, slots=True)
class Class:
    """A class of the project."""

    node: ast.ClassDef = field(hash=False)
    scope: Scope = field(repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a project class. Its attributes live in the scope's heap, keyed by the class."""

    cls: Class


@dataclass(frozen=True, slots=True)
class Super:
    """`super()` inside a method of `cls`."""

    cls: Class


@dataclass(frozen=True, slots=True)
class Model:
    """Something that is called with a batch: a network, wrapped or not."""

    level: Level = Level.UNKNOWN  # of the loss that it computes itself
    head: str | None = field(default=None, compare=False)  # the class or factory it was made by
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


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor, or a batch of them. `ragged` and `equal` hold what is known of its targets."""

    kind: TensorKind
    text: str = ""
    shifted: bool = False
    flat: bool = False  # (batch, time, ...) was flattened to (batch * time, ...): its elements are tokens
    from_batch: bool = False  # it stands under a key of its own in the batch
    per_sample: bool = False  # the time axis is gone: its elements are samples
    difference: bool = False  # predictions less targets, or one model's less another's: squared, it is a loss
    ragged: tuple[Step, ...] = ()
    equal: tuple[Step, ...] = ()
    origin: str = field(default="", compare=False)  # how the loop that yields the batch would write it
    leaves_out: str = ""  # of a mask of the batch's own labels: the value that it leaves out, -100
    remade: bool = False  # its elements are others than the batch's: filled, masked, cut or computed with
    picked: Counted | None = None  # what a mask kept of the batch's labels, and nothing else is left: all are targets


@dataclass(frozen=True, slots=True)
class Output:
    """What a model returned: `.loss` is there when it was called with labels."""

    model: Model
    loss: Value
    first: Value  # `outputs[0]`


class Scale(enum.Enum):
    """Over what a count runs."""

    MICRO_BATCH = "micro-batch"
    RUNNING = "running"  # summed up in a loop that is still going on
    WINDOW = "window"
    GLOBAL = "all ranks"


@dataclass(frozen=True, slots=True)
class Count:
    """How many elements: of what, and over what."""

    what: str  # the text of the counted mask or tensor; "num_items_in_batch" for the Trainer's own
    scale: Scale
    loop: int = 0  # id of the loop that a running count is summed up in
    per_rank: bool = False  # divided by the number of ranks
    depth: int = 0  # how many loops are running where it is counted
    text: str = ""
    shifted: bool = False  # the first label was left out
    targets: Counted | None = None  # what is counted, where the batch itself holds it
    divisor: Divisor | None = field(default=None, compare=False)  # where it is written, if it may be so once more
    place: Place | None = field(default=None, compare=False)  # where the number of one micro-batch is written

    @property
    def is_trainers(self) -> bool:
        return self.what == COUNT


@dataclass(frozen=True, slots=True)
class Elements:
    """A loss that is not reduced yet: one number for each token or sample.

    `inner` counts the axes within one token that are still there (1 for a divergence over the vocabulary).
    """

    site: LossSite
    inner: int = 0
    factors: tuple[Factor, ...] = ()  # what each of them was multiplied with or divided by


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that gradients flow from: a sum of terms."""

    terms: tuple[LossTerm, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A tuple or list of which each element is known."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """A list, loader or iterator of which each element is `element`."""

    element: Value
    source: Value | None = None  # the loader it comes from
    steps: Value | None = None  # its length, where that is the window's
    loop: int = 0  # id of the loop that puts one element in each round


MAX_FILLED = 1_000  # entries of a table that is still put into


@dataclass(frozen=True, slots=True)
class Table:
    """A dictionary, or an object with attributes, with known entries; `rest` stands for all others."""

    entries: tuple[tuple[str, Value], ...]
    rest: Value = UNKNOWN

    def get(self, key: str) -> Value:
        return dict(self.entries).get(key, self.rest)

    def put(self, key: str, value: Value) -> Table:
        """The table with this entry; one that is filled line by line for ever is forgotten, as each line copies it."""
        if len(self.entries) >= MAX_FILLED:
            return Table(((key, value),))
        return replace(self, entries=tuple({**dict(self.entries), key: value}.items()))


@dataclass(frozen=True, slots=True)
class Remainder:
    """`step % n`, perhaps shifted: what a modulo gate tests."""

    steps: Value
    written: str = field(default="", compare=False)  # `n` as it stands there


@dataclass(frozen=True, slots=True)
class Product:
    """`steps * world_size / count`, `1 / n`: each factor with its text and its power, 1 or -1."""

    factors: tuple[tuple[Value, str, int], ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that a loop counts up by one."""

    length: bool = False  # of a list that each round puts one element in


@dataclass(frozen=True, slots=True)
class Boundary:
    """A test that is true (or, negated, false) on the last micro-batch of a window."""

    steps: Value
    negated: bool = False
    at_end: bool = False  # it is true as well where the loader ends, after a window that may be shorter
    written: str = field(default="", compare=False)  # the steps as they stand in the test


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, depending on the path."""

    values: tuple[Value, ...]


Value = (
    Unknown
    | Const
    | Symbol
    | External
    | Module
    | Built
    | Function
    | Class
    | Instance
    | Super
    | Model
    | Tensor
    | Output
    | Count
    | Elements
    | Loss
    | Items
    | Many
    | Table
    | Remainder
    | Product
    | Counter
    | Boundary
    | Choice
)


COUNT = "num_items_in_batch"  # the Trainer's name for the window's count
NO_COUNT = Const(None, COUNT)  # what it passes where it has counted nothing


def is_missing_count(value: Value) -> bool:
    """Is this the count where the Trainer passes none?"""
    return isinstance(value, Const) and value.value is None and value.text == COUNT


def choice(values: list[Value]) -> Value:
    """The values as one: itself when there is one; of too many, the first of those that matter."""
    if len(values) == 1:
        return values[0]
    flat: list[Value] = []
    for value in values:
        for one in alternatives(value):
            if one not in flat:
                flat.append(one)
    if len(flat) == 1:
        return flat[0]
    if len(flat) > MAX_CHOICES:
        flat = [value for value in flat if matters(value)][:MAX_CHOICES]
    return Choice(tuple(flat)) if flat else UNKNOWN


def alternatives(value: Value) -> Iterator[Value]:
    """Each value that it may be."""
    if isinstance(value, Choice):
        yield from value.values
    else:
        yield value


def matters(value: Value) -> bool:
    """Must paths that differ in this value be told apart?"""
    if isinstance(value, Loss | Elements | Count | Boundary):
        return True
    if isinstance(value, Const):
        return value.value in ("mean", "sum", "none")
    if isinstance(value, Product):
        return any(matters(one) for one, _, _ in value.factors)
    if isinstance(value, Choice | Items):
        return any(matters(one) for one in value.values)
    return False
