"""What of the program itself can a name stand for? Literals, symbols, modules, functions, classes and objects."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ga_lint.facts.model import Place

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.scopes import Scope
    from ga_lint.facts.values import Value


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


@dataclass(frozen=True, slots=True)
class Built:
    """An object made by calling an External: `DataLoader(...)`, `Accelerator(...)`, `CrossEntropyLoss(...)`."""

    name: str
    positional: tuple[Value, ...]
    named: tuple[tuple[str, Value], ...]
    place: Place

    def argument(self, position: int | None, *names: str) -> Value | None:
        """The argument by any of its names, or by position; None when it was not passed."""
        return argument_of(self.positional, self.named, position, names)


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
    supposed: bool = field(default=False, compare=False)  # an annotation says so, nobody is seen handing it over


@dataclass(frozen=True, slots=True)
class Super:
    """`super()` inside a method of `cls`."""

    cls: Class
