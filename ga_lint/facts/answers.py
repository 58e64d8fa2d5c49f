"""What did the same call give before? A call that does nothing but give a plain value need not be followed again.

transformers asks `is_torch_available()` and its like in every second line; following each call anew was half of all
expressions that its Trainers cost. An answer is only good where following the call once more would give it again:
it takes and gives plain values, nothing was recorded and no object looked at meanwhile, and nothing cut it short.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ga_lint.facts.values import Choice, Class, Const, External, Function, Instance, Items, Symbol, Unknown, Value

if TYPE_CHECKING:
    import ast

    from ga_lint.facts.paths import Frame
    from ga_lint.facts.scopes import Scope


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave, and what following it took."""

    value: Value
    statements: int
    entered: frozenset[ast.AST]  # the functions that were followed
    arguments: Mapping[str, Value]  # held on to: the question speaks of them by their ids


class Answers:
    """The answers so far about one file. `doubts` counts what makes an answer good for one time only."""

    def __init__(self) -> None:
        self.doubts = 0
        self.entered: list[ast.AST] = []  # every function that was followed, in order
        self._known: dict[Hashable, Answer] = {}

    def forget(self) -> None:
        """The file is done: its answers hold on to everything that was followed for them."""
        self._known.clear()
        self.entered.clear()

    def known(self, question: Hashable, running: Collection[ast.AST], budget: int) -> Answer | None:
        """The answer, unless a recursion or the bound on statements would cut the call short this time."""
        answer = self._known.get(question)
        if answer is None or budget <= answer.statements or not answer.entered.isdisjoint(running):
            return None
        self.entered.extend(answer.entered)
        return answer

    def keep(
        self, question: Hashable, value: Value, statements: int, since: int, arguments: Mapping[str, Value]
    ) -> None:
        """Remember what a call gave; `since`: how many functions had been followed before it."""
        if _is_plain(value):
            self._known[question] = Answer(value, statements, frozenset(self.entered[since:]), arguments)


def question_of(
    function: Function, arguments: Mapping[str, Value], caller: Frame, circumstances: Hashable
) -> Hashable | None:
    """All that the value of a call can follow from; None where there is more to it than can be compared."""
    if not _is_of_module(function.scope):
        return None
    passed = tuple((name, _identity(value)) for name, value in arguments.items())
    if any(identity is None for _, identity in passed):
        return None
    loops = tuple(loop.id for loop in caller.loops)
    return id(function.node), passed, caller.depth, loops, caller.contexts, circumstances


def _is_of_module(scope: Scope) -> bool:
    """Is it a function of a module or of its class? Others read what the function around them holds."""
    return scope.parent is None or (scope.cls is not None and scope.parent.parent is None)


def _identity(value: Value) -> Hashable | None:
    """The value as something that is equal only for what is the same in all respects; None of what holds values."""
    match value:
        case Unknown():
            return ()
        case Const(value=inner, text=text):
            return type(inner), inner, text
        case Symbol(text=text, value=number):
            return Symbol, text, type(number), number
        case External(name=name):
            return External, name
        case Class(node=node, scope=scope) | Instance(cls=Class(node=node, scope=scope)) if scope.parent is None:
            return type(value), id(node)
    return None


def _is_plain(value: Value) -> bool:
    """Does it hold nothing that is told apart by where, or in which loop, it was made?"""
    if isinstance(value, Choice | Items):
        return all(map(_is_plain, value.values))
    return isinstance(value, Unknown | Const | Symbol | External)
