"""Which calls of a file give a parameter its value, and which tests stand around a statement?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.verify.worker.reading.sources import Function, Module, dotted, last

# Calls whose result is worth no attempt: they read disks and networks, or build what the harness builds itself.
_COSTLY = frozenset(
    "from_pretrained load_dataset DataLoader init open load prepare initialize compile parse_args input "
    "DistributedDataParallel DDP FSDP get_scheduler".split()
)


def is_costly(expression: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) and last(dotted(n.func)) in _COSTLY for n in ast.walk(expression))


def passed(module: Module, function: Function, parameter: str) -> Iterator[tuple[ast.Call, ast.expr]]:
    """The calls of the function that name or place this parameter, with what they give for it."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    is_method = isinstance(module.parents.get(id(function)), ast.ClassDef)
    owner = module.parents.get(id(function))
    name = owner.name if isinstance(owner, ast.ClassDef) and function.name == "__init__" else function.name
    for call in _calls(module, name):
        if parameter in names:
            takes_self = is_method and (name != function.name or isinstance(call.func, ast.Attribute))
            place = names.index(parameter) - takes_self  # among what the call is given
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
