"""Which functions are put in the place of a method? `Trainer.compute_loss = f`, `trainer.compute_loss = f`,
`LlamaForCausalLM.forward = f`, `model.forward = types.MethodType(f, model)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from msgspec import Struct

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.closures import closure
from ga_lint.facts.interpreter.scopes import Scope
from ga_lint.facts.values import External, Function, alternatives
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.walk import children


class Patch(Struct, frozen=True):
    """One assignment of a function to a method's name."""

    owner: ast.expr  # `Trainer`, `trainer`, `model`
    method: str
    function: Function
    node: FunctionNode
    bound: bool  # its first parameter is the object itself
    scope: Scope  # where the assignment stands
    around: tuple[FunctionNode, ...]  # the functions that it stands in, the outermost first


def patches_of(run: Interpreter, parsed: ParsedFile, methods: tuple[str, ...]) -> Iterator[Patch]:
    """Every function that this file assigns to one of these names."""
    if not any(f".{name} = ".encode() in parsed.source.data for name in methods):
        return
    module = run.names.module(parsed)
    for node, outer in _with_functions(parsed, methods, parsed.tree, ()):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=owner, attr=name)], value=value) if name in methods:
                scope = closure(run, module, outer)
                for function, definition, bound in _functions(run, owner, value, scope):
                    yield Patch(owner, name, function, definition, bound, scope, outer)


def _functions(
    run: Interpreter, owner: ast.expr, value: ast.expr, scope: Scope
) -> Iterator[tuple[Function, FunctionNode, bool]]:
    """What is assigned, its definition, and whether its first parameter is the object."""
    to_class = is_class(owner)
    match value:
        case ast.Call(func=func, args=[inner, _]) if ast.unparse(func).endswith("MethodType"):
            value, to_class = inner, True
        case ast.Call(func=ast.Attribute(value=inner, attr="__get__")):
            value, to_class = inner, True
    for one in alternatives(run.module_expression(value, scope)):
        if isinstance(one, Function) and isinstance(one.node, FunctionNode) and one.bound is None:
            yield one, one.node, to_class


def is_class(owner: ast.expr) -> bool:
    last = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return last[:1].isupper()


def _with_functions(
    parsed: ParsedFile, words: tuple[str, ...], tree: ast.AST, outer: tuple[FunctionNode, ...]
) -> Iterator[tuple[ast.AST, tuple[FunctionNode, ...]]]:
    """Every node with the functions around it, but those in definitions that hold none of these words."""
    for child in children(tree):
        yield child, outer
        if parsed.mentions(child, *words):
            inner = (*outer, child) if isinstance(child, FunctionNode) else outer
            yield from _with_functions(parsed, words, child, inner)


def annotated_type(run: Interpreter, patch: Patch) -> External | None:
    """What the patched object is annotated to be in the function around: `def attach(trainer: Trainer)`."""
    if not isinstance(patch.owner, ast.Name):
        return None
    for function in reversed(patch.around):
        own = next((one for one in _parameters(function) if one.arg == patch.owner.id), None)
        if own is not None and own.annotation is not None:
            for one in alternatives(run.module_expression(own.annotation, patch.scope.module)):
                if isinstance(one, External):
                    return one
    return None


def built_as(patch: Patch) -> ast.expr | None:
    """The class that the patched object was built from where it is patched: `trainer = Trainer(...)`."""
    if not isinstance(patch.owner, ast.Name):
        return None
    for around in (*reversed(patch.around), patch.scope.parsed.tree):
        for statement in ast.walk(around):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=built)) if name == patch.owner.id:
                    return built
    return None


def _parameters(function: FunctionNode) -> list[ast.arg]:
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]
