"""Which paths must be kept apart? The state of one path through a function, and when two become one."""

from __future__ import annotations

import ast

from msgspec import Struct, field

from ga_lint.facts.interpreter.events import Context, Guard, Loop
from ga_lint.facts.interpreter.scopes import Scope
from ga_lint.facts.model import Place
from ga_lint.facts.values import UNKNOWN, Value, choice, matters

MAX_DEPTH = 6  # calls of project functions inside each other
MAX_CHAIN = 24  # the same, with those that only hand on
MAX_PATHS = 10  # paths kept apart inside one function


class State(Struct):
    """One path: the values of names and the tests that hold on it."""

    env: dict[str, Value]
    guards: tuple[Guard, ...] = ()
    given: dict[ast.expr, Value] = field(default_factory=dict)  # by the expressions of the statement that runs

    def fork(self) -> State:
        return State(dict(self.env), self.guards)


class Frame(Struct, eq=False):
    """One activation of a function, or of a module."""

    scope: Scope
    node: ast.AST
    name: str  # qualified
    receiver: Value | None = None
    running: bool = True  # statements run in this scope; False: one expression is looked at from outside
    depth: int = 0
    thin: int = 0  # how many of these calls are of functions that only hand on
    loops: tuple[Loop, ...] = ()
    inherited: int = 0  # how many of them run around the call
    contexts: tuple[Context, ...] = ()
    guards: tuple[Guard, ...] = ()  # of the caller
    via: tuple[Place, ...] = ()
    returned: list[Value] = field(default_factory=list)
    returned_under: list[tuple[Guard, ...]] = field(default_factory=list)  # the tests that each of them stands under
    yielded: list[Value] = field(default_factory=list)
    broken: list[State] = field(default_factory=list)
    continued: list[State] = field(default_factory=list)


def is_too_deep(caller: Frame, thin: bool) -> bool:
    """Is one more call from here not followed? `thin`: of a function that only hands on, which takes nobody deeper."""
    return caller.depth - caller.thin >= MAX_DEPTH + thin or caller.depth >= MAX_CHAIN


def joined(states: list[State]) -> list[State]:
    """Fewer paths: those that differ in nothing that matters become one."""
    if len(states) < 2:
        return states
    names = _held_unlike(states)
    kept: list[tuple[dict[str, Value], State]] = []
    for state in states:
        told = {name: value for name in names if matters(value := state.env.get(name, UNKNOWN))}
        for other_told, other in kept:
            if told == other_told and _same_tests(state, other):
                _join_into(other, state)
                break
        else:
            kept.append((told, state))
    paths = [state for _, state in kept]
    while len(paths) > MAX_PATHS:
        _join_into(paths[0], paths.pop())
    return paths


def _held_unlike(states: list[State]) -> set[str]:
    """The names that are not the same object on all paths."""
    first = states[0].env
    names: set[str] = set()
    for state in states[1:]:
        names.update(name for name, value in state.env.items() if first.get(name) is not value)
        names |= first.keys() - state.env.keys()
    return names


def _same_tests(left: State, right: State) -> bool:
    return left.guards == right.guards or [one.test for one in left.guards] == [one.test for one in right.guards]


def _join_into(target: State, other: State) -> None:
    for name, two in other.env.items():
        one = target.env.get(name)
        if one is not two:
            target.env[name] = two if one is None else choice([one, two])
    if target.guards != other.guards:
        target.guards = tuple(guard for guard in target.guards if guard in other.guards)
