"""Which functions are put in the place of a method? `Trainer.compute_loss = f`, `trainer.compute_loss = f`,
`LlamaForCausalLM.forward = f`, `model.forward = types.MethodType(f, model)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.scopes import Scope
from ga_lint.facts.values import External, Function, alternatives
from ga_lint.syntax.parsed import FunctionNode, ParsedFile


@dataclass(frozen=True, slots=True)
class Patch:
    """One assignment of a function to a method's name."""

    owner: ast.expr  # `Trainer`, `trainer`, `model`
    method: str
    function: Function
    node: FunctionNode
    bound: bool  # its first parameter is the object itself
    scope: Scope  # where the assignment stands


def patches_of(run: Interpreter, parsed: ParsedFile, methods: tuple[str, ...]) -> Iterator[Patch]:
    """Every function that this file assigns to one of these names."""
    if not any(f".{name} = ".encode() in parsed.source.data for name in methods):
        return
    module = run.names.module(parsed)
    for node, outer in _with_functions(parsed.tree, ()):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=owner, attr=name)], value=value) if name in methods:
                scope = run.closure(module, outer) if outer else module
                yield from _patches(run, owner, name, value, scope)


def _patches(run: Interpreter, owner: ast.expr, name: str, value: ast.expr, scope: Scope) -> Iterator[Patch]:
    to_class = _is_class(owner)
    match value:
        case ast.Call(func=func, args=[inner, _]) if ast.unparse(func).endswith("MethodType"):
            value, to_class = inner, True
        case ast.Call(func=ast.Attribute(value=inner, attr="__get__")):
            value, to_class = inner, True
    for one in alternatives(run.module_expression(value, scope)):
        if isinstance(one, Function) and isinstance(one.node, FunctionNode) and one.bound is None:
            yield Patch(owner, name, one, one.node, to_class, scope)


def _is_class(owner: ast.expr) -> bool:
    last = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return last[:1].isupper()


def _with_functions(
    tree: ast.AST, outer: tuple[FunctionNode, ...]
) -> Iterator[tuple[ast.AST, tuple[FunctionNode, ...]]]:
    """Every node with the functions around it."""
    for child in ast.iter_child_nodes(tree):
        yield child, outer
        yield from _with_functions(child, (*outer, child) if isinstance(child, FunctionNode) else outer)


def annotated_type(run: Interpreter, patch: Patch) -> External | None:
    """What the patched object is annotated to be in the function around: `def attach(trainer: Trainer)`."""
    if not isinstance(patch.owner, ast.Name):
        return None
    for node in patch.scope.parsed.walked:
        if isinstance(node, ast.arg) and node.arg == patch.owner.id and node.annotation is not None:
            for one in alternatives(run.module_expression(node.annotation, patch.scope.module)):
                if isinstance(one, External):
                    return one
    return None
