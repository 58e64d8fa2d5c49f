"""What happens to gradients, in which loop, under which test? The record that the interpreter keeps."""

from __future__ import annotations

import ast
import enum

from msgspec import Struct

from ga_lint.facts.model import Place
from ga_lint.facts.values import UNKNOWN, Value


class EventKind(enum.Enum):
    """What was called."""

    BACKWARD = "backward"
    STEP = "optimizer step"
    ZERO_GRAD = "zero_grad"
    SCALE_GRADIENT = "gradient scaled"
    RETURN = "return"
    SUPER_CALL = "super call"
    TRAINER = "Trainer built"


class Context(enum.Enum):
    """A `with` block that changes what backward does."""

    ACCUMULATE = "accumulate"
    NO_GRAD = "no_grad"


class Loop(Struct, frozen=True):
    """One loop that is being run, with the number of its rounds where that is written down."""

    id: int
    place: Place  # the loop's header
    body: Place
    source: Value  # what it iterates over
    rounds: Value = UNKNOWN
    rounds_text: str = ""
    fetch: Place | None = None  # its first statement, where that is an assignment
    assigned: frozenset[str] = frozenset()  # what each round of it assigns anew


class Guard(Struct, frozen=True):
    """A test that the statement stands under, and how it came out."""

    test: Value
    outcome: bool
    text: str
    place: Place


class Event(Struct, frozen=True):
    """One call that matters, where and under what it happens."""

    kind: EventKind
    place: Place
    value: Value  # the loss, the returned value or the factor
    value_place: Place  # the expression that was handed over
    value_text: str
    driver: Value  # what drives it: an accelerator, an engine, an optimizer
    driver_text: str
    loops: tuple[Loop, ...]
    guards: tuple[Guard, ...]
    contexts: tuple[Context, ...]
    scope: str  # qualified name of the function that holds the call
    function: Place | None  # that function
    via: tuple[Place, ...] = ()  # the calls that led here from the function that was started
    undivided: bool = False  # backward is told to leave the loss as it is


def is_told_not_to_divide(node: ast.AST) -> bool:
    """`engine.backward(loss, scale_wrt_gas=False)`: DeepSpeed does not divide by its steps then."""
    named = node.keywords if isinstance(node, ast.Call) else []
    return any(
        one.arg == "scale_wrt_gas" and isinstance(one.value, ast.Constant) and one.value.value is False for one in named
    )
