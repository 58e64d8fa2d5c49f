"""What does a caller in the same file pass for a parameter?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.verify.worker.sources import Function, Module, dotted, last


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
    return [n for n in ast.walk(module.tree) if isinstance(n, ast.Call) and last(dotted(n.func)) == name]


def conditions(module: Module, statement: ast.stmt) -> Iterator[tuple[ast.expr, bool]]:
    """The tests that decide whether a statement of a scope runs, with the answer that it needs."""
    inner: ast.AST = statement
    outer = module.parents.get(id(inner))
    while outer is not None and not isinstance(outer, Function | ast.ClassDef | ast.Lambda):
        if isinstance(outer, ast.If) and inner is not outer.test:
            yield outer.test, any(inner is each for each in outer.body)
        elif isinstance(outer, ast.ExceptHandler):
            yield ast.Constant(False), True
        inner, outer = outer, module.parents.get(id(outer))
