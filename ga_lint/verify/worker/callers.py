"""What does a caller give for a parameter, and is a branch taken? Told by evaluating what stands there."""

from __future__ import annotations

import ast
import contextlib
from typing import TYPE_CHECKING

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.stand_ins import MISSING, Unknown
from ga_lint.verify.worker.reading.calls import conditions, is_costly, passed
from ga_lint.verify.worker.reading.sources import Function, loaded_names

if TYPE_CHECKING:
    from ga_lint.verify.worker.namespace import Namespace


def from_caller(space: Namespace, function: Function | None, name: str) -> object:
    """What a caller of this file gives for the parameter, as far as that can be evaluated."""
    files = space.files
    if function is None or (id(function), name) in files.passing:
        return MISSING
    files.passing.add((id(function), name))
    unknown: object = MISSING
    try:
        for call, expression in passed(space.module, function, name):
            if is_costly(expression):
                continue
            if id(call) not in files.calls:
                files.calls[id(call)] = _around(space, call)
            with contextlib.suppress(Exception, NotVerifiable):
                value: object = files.calls[id(call)].evaluate(expression)
                if isinstance(value, Unknown):
                    unknown = value
                elif value is not None:
                    return value
    finally:
        files.passing.discard((id(function), name))
    return unknown  # better than a default that this caller does not leave as it is


def _around(space: Namespace, call: ast.Call) -> Namespace:
    """The names as they are where this call stands."""
    module, binder = space.module, space.binder
    while space.outer is not None:
        space = space.outer
    for function in reversed(module.functions_around(call)):
        space = space.inner(function, call.lineno, binder)
    return space


def is_reached(space: Namespace, name: str, statement: ast.stmt) -> bool:
    """Whether the branch that the statement stands in is taken, as far as its tests can be evaluated."""
    if _is_untried(space, statement):
        return False
    for test, wanted in conditions(space.module, statement):
        if name in loaded_names(test) or is_costly(test):
            continue
        with contextlib.suppress(Exception, NotVerifiable):
            if bool(space.evaluate(test)) is not wanted:
                return False
    return True


def _is_untried(space: Namespace, statement: ast.stmt) -> bool:
    """Whether it stands in the part of a `try` around an import that is not reached: the library is there, or not."""
    inner: ast.AST = statement
    outer = space.module.parents.get(id(inner))
    while outer is not None and not isinstance(outer, Function | ast.ClassDef | ast.Lambda):
        if isinstance(outer, ast.Try) and not any(inner is each for each in outer.finalbody):
            is_there = all(_is_importable(space, each) for each in outer.body)
            if is_there is isinstance(inner, ast.ExceptHandler):
                return True
        inner, outer = outer, space.module.parents.get(id(outer))
    return False


def _is_importable(space: Namespace, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import):
        return not any(isinstance(space.imported_module(each.name, 0), Unknown) for each in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return not isinstance(space.imported_module(statement.module or "", statement.level), Unknown)
    return True
