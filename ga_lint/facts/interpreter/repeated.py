"""Which calls need not be followed once more? Those of the same function with the same arguments in the same place.

A helper is called again and again: `is_sagemaker_mp_enabled()`, a masked mean for each of a dozen metrics. What it
gives is kept, unless following it did more than give that, such as an event or a loss that was read, or gave less,
since a function that it calls was running already and so was left out.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import TYPE_CHECKING

from msgspec.structs import astuple

from ga_lint.facts.values import (
    Choice,
    Class,
    Const,
    External,
    Function,
    Instance,
    Items,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame, State
    from ga_lint.facts.interpreter.scopes import Scope


_NONE_LEFT_OUT = sys.maxsize


class Results:
    """What calls gave, of one interpreter's."""

    def __init__(self) -> None:
        # With each what its key tells apart by `id`, which would soon be another's.
        self._known: dict[Hashable, tuple[Value, object]] = {}
        self.told = 0  # how often something was recorded
        self._lowest = _NONE_LEFT_OUT  # the first of the running functions that was not followed once more

    def clear(self) -> None:
        self._known.clear()

    def left_out(self, place: int) -> None:
        """A call of the function that is running at this place was not followed."""
        self._lowest = min(self._lowest, place)

    def of(
        self, run: Interpreter, function: Function, arguments: dict[str, Value], caller: Frame, state: State | None
    ) -> Value:
        """What the call gives, followed where it is not known."""
        key = _key(run, function, arguments, caller) if _is_of_module(function.scope) else None
        try:
            known = self._known.get(key)
        except TypeError:  # a list or a dictionary as a literal
            return run.activate(function, arguments, caller, state)
        if known is not None:
            return known[0]
        before, lowest, self._lowest = (self.told, len(run.loss_reads)), self._lowest, _NONE_LEFT_OUT
        value = run.activate(function, arguments, caller, state)
        whole = self._lowest >= len(run.running)  # what calls itself would leave out as much elsewhere
        self._lowest = min(lowest, self._lowest)
        if key is not None and whole and before == (self.told, len(run.loss_reads)):
            self._known[key] = value, (function, arguments, caller.loops, run.truths)
        return value


def _key(run: Interpreter, function: Function, arguments: dict[str, Value], caller: Frame) -> Hashable:
    """What tells this call from every other that may come out otherwise."""
    given = tuple((name, _told(value)) for name, value in arguments.items())  # what it is bound to is the first
    around = (caller.depth, caller.thin, id(caller.loops), caller.contexts, id(run.truths), run.only_in is None)
    return id(function.node), id(function.scope), given, around


def _told(value: Value) -> Hashable:
    """By what it is told from others: itself where all of it is compared, else its own place in memory."""
    match value:
        case Unknown() | External() | Symbol():
            return value
        case Const(value=literal, text=text):
            return type(literal), literal, text  # 1 equals True
        case Class(node=node):
            return id(node)
        case Instance(cls=cls, supposed=supposed):
            return id(cls.node), supposed
        case Tensor():
            return astuple(value)
        case Choice(values=values) | Items(values=values):
            return type(value), tuple(map(_told, values))
    return id(value)


def _is_of_module(scope: Scope) -> bool:
    """Is it a module, or a class of one? What a function around binds may be another value by the next call."""
    if scope.cls is not None and scope.parent is not None:
        scope = scope.parent
    return scope.parent is None and not scope.names
