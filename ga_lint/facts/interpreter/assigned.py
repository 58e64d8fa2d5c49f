"""What do the methods of a class other than `__init__` make of an attribute, in a `setup` or a `build_model`?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter.unpacking import unpacked
from ga_lint.facts.values import UNKNOWN, Class, Const, Value, choice
from ga_lint.syntax.parameters import parameter_names
from ga_lint.syntax.parsed import FunctionNode

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame

# What is assigned, all the targets that it is unpacked into, which of them it is, and what the method is handed.
Assigned = tuple[ast.expr, list[ast.expr], int, list[str]]


def is_set_later(value: Value) -> bool:
    """`self.model = None` in `__init__`: another method may set it, if none was looked for yet."""
    return isinstance(value, Const) and value.value is None and not value.text


def assigned_elsewhere(run: Interpreter, frame: Frame, cls: Class, name: str) -> Value | None:
    """`self.name = ...` in a method other than `__init__`, such as a `setup`."""
    values: list[Value] = []
    for ancestor in run.names.ancestry(cls):
        if isinstance(ancestor, Class):
            key = (id(ancestor.node), name)
            if key not in run.assigned:
                run.assigned[key] = list(_assignments(ancestor, name))
            scope = run.names.scope_of(ancestor)
            for node, targets, index, handed in run.assigned[key]:
                value = run.module_expression(node, scope, dict.fromkeys(handed, UNKNOWN))
                values.append(unpacked(run, frame, value, targets)[index] if len(targets) > 1 else value)
    set_up = [value for value in values if value != Const(None)]
    return choice(set_up or values) if values else None


def _assignments(cls: Class, name: str) -> Iterator[Assigned]:
    """What methods other than `__init__` assign to this attribute of `self`."""
    parsed = cls.scope.parsed
    for method in cls.node.body:
        if isinstance(method, FunctionNode) and method.name != "__init__" and parsed.mentions(method, name):
            for node in parsed.find(ast.Assign, method):
                for target in node.targets:
                    targets = target.elts if isinstance(target, ast.Tuple) else [target]
                    for index, one in enumerate(targets):
                        if isinstance(one, ast.Attribute) and one.attr == name and isinstance(one.value, ast.Name):
                            yield node.value, targets, index, parameter_names(method)
