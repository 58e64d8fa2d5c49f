"""What does the loss of a trainer's class run? Its methods and the file's functions, from the overrides on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.verify.worker.reading.sources import Function, Module, dotted, last

ENTRIES = ("compute_loss", "training_step")


def reached(module: Module, owner: ast.ClassDef) -> list[Function]:
    """The functions of this file that the overrides reach: methods by attribute, functions by name."""
    methods: dict[str, Function] = {}
    for node in family(module, owner):
        for each in node.body:
            if isinstance(each, Function):
                methods.setdefault(each.name, each)
    found: dict[str, Function] = {}
    todo = [name for name in ENTRIES if name in methods]
    while todo:
        name = todo.pop()
        function = methods.get(name) or _top_function(module, name)
        if function is not None and name not in found:
            found[name] = function
            todo.extend(_named(function))
    return list(found.values())


def family(module: Module, owner: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """The class and those of its bases that this file defines, the class first."""
    seen: set[int] = set()
    todo = [owner]
    while todo:
        node = todo.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        for base in node.bases:
            todo += [one for one in module.top.get(last(dotted(base)), []) if isinstance(one, ast.ClassDef)]


def _top_function(module: Module, name: str) -> Function | None:
    return next((s for s in reversed(module.top.get(name, [])) if isinstance(s, Function)), None)


def _named(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
