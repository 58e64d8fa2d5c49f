"""What is `self` in a loop that stands in a method? The class gives the methods, roles and __init__ the attributes."""

from __future__ import annotations

import ast
import contextlib
import copy
import types
from collections.abc import Iterator
from typing import Protocol

from torch import nn

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.stand_ins import MISSING, Unknown
from ga_lint.verify.worker.heirs import heir, is_abstract
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.reading.calls import is_costly
from ga_lint.verify.worker.reading.declared import optional
from ga_lint.verify.worker.reading.sources import Function, dotted, is_none, last, statements

_SETUPS = ("__init__", "setup", "build", "__post_init__")
_PROPERTIES = ("property", "cached_property")


class Bindings(Protocol):
    """Who knows what `self.model` is."""

    def bind(self, name: str) -> object: ...

    def guess(self, name: str) -> object: ...


class SelfStandIn:
    """An instance of the user's class that was never constructed."""

    def __init__(self, bindings: Bindings, space: Namespace, owner: ast.ClassDef) -> None:
        self.__dict__["_ga"] = (bindings, tuple(ancestry(space, owner)), space)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        bindings, ancestry, space = self.__dict__["_ga"]
        value = bindings.bind(f"self.{name}")
        if value is MISSING:
            value = self._method(name, ancestry)
            ancestry = self.__dict__["_ga"][1]
            if value is not MISSING and not isinstance(value, _Computed):
                return value  # never stored: a property may change
        if isinstance(value, _Computed):
            return value.value
        if value is MISSING:
            value = self._from_setup(name, ancestry)
        if value is MISSING:
            value = space.stand_in(f"self.{name}")
        self.__dict__[name] = value
        return value

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self.forward(*args, **kwargs)  # type: ignore[operator]

    def _method(self, name: str, ancestry: tuple[tuple[Namespace, ast.ClassDef], ...]) -> object:
        for space, owner in ancestry:
            for method in owner.body:
                if isinstance(method, Function) and method.name == name:
                    if is_abstract(method) and (inherited := self._inherited(name, space, owner)) is not MISSING:
                        return inherited
                    return self._bound(space, method)
        return MISSING

    def _inherited(self, name: str, space: Namespace, owner: ast.ClassDef) -> object:
        """The method of a class that is made from the abstract one; from now on this is an instance of it."""
        found = heir(space, owner, name)
        if found is None:
            return MISSING
        place, node = found
        space.files.recorder.assume(f"{owner.name} is abstract: {node.name} of {place.module.path.name} is run")
        bindings, ancestry, first = self.__dict__["_ga"]
        self.__dict__["_ga"] = (bindings, (found, *ancestry), first)
        return self._method(name, (found,))

    def _bound(self, space: Namespace, method: ast.FunctionDef | ast.AsyncFunctionDef) -> object:
        decorators = {last(dotted(d)) for d in method.decorator_list}
        node = copy.deepcopy(method)
        node.decorator_list = []
        node.name = f"__method_{method.name}"  # not to be found under a module's name
        space.define(node, method)
        function = space.pop(node.name)
        assert isinstance(function, types.FunctionType)
        if decorators & set(_PROPERTIES):
            return _Computed(function(self))
        return function if "staticmethod" in decorators else types.MethodType(function, self)

    def _from_setup(self, name: str, ancestry: tuple[tuple[Namespace, ast.ClassDef], ...]) -> object:
        """The value that `__init__` gives the attribute, where it can be computed."""
        left_out = False
        for space, owner in ancestry:
            for expression in _of_class(owner, name):
                with contextlib.suppress(Exception, NotVerifiable):  # the user's code may raise anything
                    value = space.evaluate(expression)
                    if not isinstance(value, Unknown):
                        return value
            for method in owner.body:
                if isinstance(method, Function) and method.name in _SETUPS:
                    for expression in assigned(method, name):
                        if is_costly(expression):
                            continue
                        inner = space.inner(method)
                        inner["self"] = self
                        try:
                            value = inner.evaluate(expression)
                        except (Exception, NotVerifiable):  # noqa: BLE001 - the user's code may raise anything
                            continue
                        if value is not None and not isinstance(value, Unknown):
                            return value.double() if isinstance(value, nn.Module) else value
                        left_out |= is_none(expression) and name in optional(space.module)
        left_out = left_out and not any(_sets_later(owner, name) for _, owner in ancestry)
        if left_out:
            ancestry[0][0].files.recorder.assume(f"`self.{name}` is None: the code asks whether it is")
        return None if left_out else MISSING


class _Computed:
    def __init__(self, value: object) -> None:
        self.value = value


def _of_class(owner: ast.ClassDef, name: str) -> Iterator[ast.expr]:
    """What the class's body gives the name; a dataclass's default is one of its options, which are declared."""
    for statement in owner.body:
        if isinstance(statement, ast.Assign) and any(dotted(target) == name for target in statement.targets):
            yield statement.value


def _sets_later(owner: ast.ClassDef, name: str) -> bool:
    """Whether another method than those that set up gives the attribute a value."""
    methods = (each for each in owner.body if isinstance(each, Function) and each.name not in _SETUPS)
    return any(next(assigned(method, name), None) is not None for method in methods)


def assigned(method: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[ast.expr]:
    for statement in statements(method.body):
        match statement:
            case ast.Assign(targets=targets, value=value) if f"self.{name}" in map(dotted, targets):
                yield value
            case ast.AnnAssign(target=target, value=ast.expr() as value) if dotted(target) == f"self.{name}":
                yield value


def ancestry(space: Namespace, owner: ast.ClassDef) -> Iterator[tuple[Namespace, ast.ClassDef]]:
    """The class and those of its bases that can be read, nearest first."""
    todo, seen = [(space, owner)], set[int]()
    while todo:
        place, node = todo.pop(0)
        if id(node) not in seen:
            seen.add(id(node))
            yield place, node
            found = (place.class_named(last(dotted(base))) for base in node.bases)
            todo.extend(each for each in found if each is not None)
