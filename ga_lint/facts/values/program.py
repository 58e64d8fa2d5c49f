"""What of the program itself can a name stand for? Literals, symbols, modules, functions, classes and objects."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.compared import Compared
from ga_lint.facts.model import Place

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.scopes import Scope
    from ga_lint.facts.values import Value


class Unknown(Struct, frozen=True):
    """Nothing is known; it is not one of the things that matter as far as can be seen."""


UNKNOWN = Unknown()


class Const(Compared, frozen=True):
    """A literal: a string, a number, a bool or None, with the name that stood for it, if any."""

    beside = frozenset(("text",))

    value: object
    text: str = ""


class Symbol(Struct, frozen=True):
    """A value that is only known by the expression that names it, such as `args.gradient_accumulation_steps`."""

    text: str
    value: float | None = None  # its number, where a default or a literal gives it


class External(Struct, frozen=True):
    """Something defined outside the project, by its qualified name: `torch.nn.functional.cross_entropy`."""

    name: str


class Module(Struct, frozen=True):
    """A module of the project."""

    scope: Scope


def argument_of(
    positional: tuple[Value, ...], named: tuple[tuple[str, Value], ...], position: int | None, names: tuple[str, ...]
) -> Value | None:
    """The argument by any of its names, or by position; None when it was not passed."""
    for name, value in named:
        if name in names:
            return value
    if position is not None and position < len(positional):
        return positional[position]
    return None


class Built(Struct, frozen=True):
    """An object made by calling an External: `DataLoader(...)`, `Accelerator(...)`, `CrossEntropyLoss(...)`."""

    name: str
    positional: tuple[Value, ...]
    named: tuple[tuple[str, Value], ...]
    place: Place

    def argument(self, position: int | None, *names: str) -> Value | None:
        """The argument by any of its names, or by position; None when it was not passed."""
        return argument_of(self.positional, self.named, position, names)


class Function(Struct, frozen=True):
    """A function of the project, with the scope that it was defined in and the object it is bound to."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    bound: Value | None = None
    preset: tuple[tuple[str, Value], ...] = ()  # functools.partial


class Class(Struct, frozen=True):
    """A class of the project."""

    node: ast.ClassDef
    scope: Scope


class Instance(Compared, frozen=True):
    """An object of a project class. Its attributes live in the scope's heap, keyed by the class."""

    beside = frozenset(("supposed",))

    cls: Class
    supposed: bool = False  # an annotation says so, nobody is seen handing it over


class Super(Struct, frozen=True):
    """`super()` inside a method of `cls`."""

    cls: Class
