"""What does a caller in the same file pass for a parameter, and which branches are taken on the way to a value?"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from typing import Any

from ga_lint.verify.worker.ends import NotVerifiable
from ga_lint.verify.worker.harness.stand_ins import MISSING, Unknown
from ga_lint.verify.worker.reading.sources import Function, Module, dotted, last, loaded_names

# Calls whose result is worth no attempt: they read disks and networks, or build what the harness builds itself.
_COSTLY = frozenset(
    "from_pretrained load_dataset DataLoader init open load prepare initialize compile parse_args input "
    "DistributedDataParallel DDP FSDP get_scheduler".split()
)


def from_caller(space: Any, function: Function | None, name: str) -> object:
    """What a caller of this file gives for the parameter, as far as that can be evaluated (`space`: a Namespace)."""
    loader = space.loader
    if function is None or (id(function), name) in loader.passing:
        return MISSING
    loader.passing.add((id(function), name))
    unknown: object = MISSING
    try:
        for call, expression in passed(space.module, function, name):
            if is_costly(expression):
                continue
            if id(call) not in loader.calls:
                loader.calls[id(call)] = _around(space, call)
            with contextlib.suppress(Exception, NotVerifiable):
                value: object = loader.calls[id(call)].evaluate(expression)
                if isinstance(value, Unknown):
                    unknown = value
                elif value is not None:
                    return value
    finally:
        loader.passing.discard((id(function), name))
    return unknown  # better than a default that this caller does not leave as it is


def _around(space: Any, call: ast.Call) -> Any:
    """The names as they are where this call stands."""
    module, binder = space.module, space.binder
    while space.outer is not None:
        space = space.outer
    for function in reversed(module.functions_around(call)):
        space = space.inner(function, call.lineno, binder)
    return space


def runs(space: Any, name: str, statement: ast.stmt) -> bool:
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


def _is_untried(space: Any, statement: ast.stmt) -> bool:
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


def _is_importable(space: Any, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import):
        return not any(isinstance(space.imported_module(each.name, 0), Unknown) for each in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return not isinstance(space.imported_module(statement.module or "", statement.level), Unknown)
    return True


def is_costly(expression: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) and last(dotted(n.func)) in _COSTLY for n in ast.walk(expression))


def passed(module: Module, function: Function, parameter: str) -> Iterator[tuple[ast.Call, ast.expr]]:
    """The calls of the function that name or place this parameter, with what they give for it."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    is_method = isinstance(module.parents.get(id(function)), ast.ClassDef)
    owner = module.parents.get(id(function))
    name = owner.name if isinstance(owner, ast.ClassDef) and function.name == "__init__" else function.name
    for call in _calls(module, name):
        place = names.index(parameter) if parameter in names else -9
        place -= is_method and (name != function.name or isinstance(call.func, ast.Attribute))
        if any(isinstance(argument, ast.Starred) for argument in call.args[: place + 1]):
            continue
        if 0 <= place < len(call.args):
            yield call, call.args[place]
        yield from ((call, keyword.value) for keyword in call.keywords if keyword.arg == parameter)


def _calls(module: Module, name: str) -> list[ast.Call]:
    """The calls by this name, or by one that stands for it: `inner = retried(self._inner)`, then `inner(args=args)`."""
    names = {name}
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=other)], value=ast.Call(args=given)):
                if any(last(dotted(argument)) == name for argument in given):
                    names.add(other)
            case ast.Assign(targets=[ast.Name(id=other)], value=value) if last(dotted(value)) == name:
                names.add(other)
    return [n for n in ast.walk(module.tree) if isinstance(n, ast.Call) and last(dotted(n.func)) in names]


def conditions(module: Module, statement: ast.stmt) -> Iterator[tuple[ast.expr, bool]]:
    """The tests that decide whether a statement of a scope runs, with the answer that it needs."""
    inner: ast.AST = statement
    outer = module.parents.get(id(inner))
    while outer is not None and not isinstance(outer, Function | ast.ClassDef | ast.Lambda):
        if isinstance(outer, ast.If) and inner is not outer.test:
            yield outer.test, any(inner is each for each in outer.body)
        inner, outer = outer, module.parents.get(id(outer))
