"""Which functions compute the loss for a Trainer or for its model, and what do they do with the count?

A function is found where it is handed over (`compute_loss_func=`), where it is assigned (`model.loss_function = f`),
where it is put into a registry of losses (`LOSS_MAPPING`), or by the signature that transformers' heads call.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.closures import closure
from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.interpreter.scopes import Scope
from ga_lint.facts.model import LOSS_FUNCTION_WORDS, LossFunction, LossRole, Place
from ga_lint.facts.received import TRAINERS_COUNT, follow, name_span, parameter_of, unguarded_uses
from ga_lint.facts.values import (
    COUNT,
    UNKNOWN,
    Class,
    Function,
    Instance,
    Model,
    Output,
    Table,
    Tensor,
    TensorKind,
    Value,
    alternatives,
)
from ga_lint.syntax.parameters import parameter_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import last_name
from ga_lint.syntax.walk import children

_REGISTRY = re.compile(r"^loss_?(mapping|map|registry|functions|funcs)$", re.IGNORECASE)
_REGISTERS = re.compile(r"^register_?\w*loss", re.IGNORECASE)
_HEADS_LOSS = re.compile(r"^For[A-Z]\w*Loss$")  # transformers' own name for what a head calls


_WORDS = tuple(word.decode() for word in LOSS_FUNCTION_WORDS)
_NAMING = (ast.keyword, ast.Assign, ast.AnnAssign, ast.Call, ast.FunctionDef)  # what `_named_in` knows


class _Handed(Struct, frozen=True):
    """A place where a loss function is named."""

    role: LossRole
    expression: ast.expr | FunctionNode
    place: ast.AST
    outer: tuple[FunctionNode, ...]
    cls: ast.ClassDef | None


def loss_functions_of(run: Interpreter, parsed: ParsedFile) -> tuple[LossFunction, ...]:
    """Every loss function that this file hands over, assigns, registers or defines for a head."""
    found: dict[Place, LossFunction] = {}
    for handed in _handed_over(parsed):
        for function in _functions(run, parsed, handed):
            one = _followed(run, parsed, handed, function)
            if one is not None and one.function not in found:
                found[one.function] = one
    return tuple(found.values())


def _handed_over(parsed: ParsedFile) -> Iterator[_Handed]:
    todo: deque[tuple[ast.AST, tuple[FunctionNode, ...], ast.ClassDef | None]] = deque([(parsed.tree, (), None)])
    by_signature: list[_Handed] = []
    while todo:
        node, outer, cls = todo.popleft()
        for child in children(node):
            for role, expression in _named_in(child) if isinstance(child, _NAMING) else ():
                if role is not LossRole.ARGUMENT or not _calls_it_itself(child, cls):
                    yield _Handed(role, expression, child, outer, cls)
            if isinstance(child, FunctionNode) and _is_heads_loss(child):
                by_signature.append(_Handed(LossRole.MODEL, child, child, outer, cls))
            if not parsed.mentions(child, *_WORDS):
                continue
            if isinstance(child, FunctionNode):
                todo.append((child, (*outer, child), cls))
            else:
                todo.append((child, outer, child if isinstance(child, ast.ClassDef) else cls))
    yield from by_signature


def _named_in(node: ast.AST) -> Iterator[tuple[LossRole, ast.expr | FunctionNode]]:
    match node:
        case ast.keyword(arg="compute_loss_func", value=value):
            yield LossRole.ARGUMENT, value
        case ast.Assign(targets=[ast.Attribute(attr="compute_loss_func")], value=value):
            yield LossRole.ARGUMENT, value
        case ast.Assign(targets=[ast.Attribute(attr="loss_function" | "_loss_function")], value=value):
            yield LossRole.MODEL, value
        case ast.Assign(targets=[ast.Subscript(value=registry)], value=value) if _is_registry(registry):
            yield _role_of(registry), value
        case (
            ast.Assign(targets=[registry], value=ast.Dict(values=values))
            | ast.AnnAssign(target=registry, value=ast.Dict(values=values))
            | ast.Call(func=ast.Attribute(value=registry, attr="update"), args=[ast.Dict(values=values)])
        ) if _is_registry(registry):
            for value in values:
                yield _role_of(registry), value
        case ast.Call(func=func, args=[_, *rest]) if _REGISTERS.match(last_name(func)):
            for value in rest:
                yield LossRole.REGISTERED, value
        case ast.FunctionDef(decorator_list=decorators):
            for decorator in decorators:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if _REGISTERS.match(last_name(called)):
                    yield LossRole.REGISTERED, node


def _calls_it_itself(node: ast.AST, cls: ast.ClassDef | None) -> bool:
    """`self.compute_loss_func = f` in a class whose own `compute_loss` calls it as it likes."""
    if not isinstance(node, ast.Assign) or cls is None:
        return False
    own = next((one for one in cls.body if isinstance(one, FunctionNode) and one.name == "compute_loss"), None)
    return own is not None and "self.compute_loss_func(" in ast.unparse(own)


def _is_registry(node: ast.expr) -> bool:
    return bool(_REGISTRY.match(last_name(node)))


def _role_of(registry: ast.expr) -> LossRole:
    """transformers' own table, or one of the project's."""
    return LossRole.MODEL if last_name(registry) == "LOSS_MAPPING" else LossRole.REGISTERED


def _is_heads_loss(node: FunctionNode) -> bool:
    """`def ForCausalLMLoss(logits, labels, vocab_size, **kwargs)`."""
    return bool(_HEADS_LOSS.match(node.name)) and node.args.kwarg is not None


def _functions(run: Interpreter, parsed: ParsedFile, handed: _Handed) -> Iterator[Function]:
    """What the expression may stand for: a function, a method, a partial, an object that is called."""
    module = run.names.module(parsed)
    scope = closure(run, module, handed.outer)
    if isinstance(handed.expression, FunctionNode):
        yield Function(handed.expression, scope)
        return
    if handed.cls is not None:
        owner = Class(handed.cls, module)
        scope = Scope(parsed, scope, {"self": Instance(owner)}, owner)
    for value in alternatives(run.module_expression(handed.expression, scope)):
        if isinstance(value, Function):
            yield value
        elif isinstance(value, Instance):
            method = run.names.method(value.cls, "__call__") or run.names.method(value.cls, "forward")
            if method is not None:
                yield Function(method[1], run.names.scope_of(method[0]), value)


def _followed(run: Interpreter, parsed: ParsedFile, handed: _Handed, function: Function) -> LossFunction | None:
    own = [name for name in parameter_names(function.node) if name not in dict(function.preset)]
    own = own[1:] if function.bound is not None else own
    if handed.role is not LossRole.ARGUMENT and ("labels" not in own or not {"logits", "outputs"} & set(own)):
        return None
    node, home = function.node, function.scope.parsed
    arguments = _arguments(handed.role, function, own)
    _, returns = follow(run, function, arguments)
    return LossFunction(
        role=handed.role,
        called="lambda" if isinstance(node, ast.Lambda) else node.name,
        handed_over=Place(parsed.path, parsed.span_of(handed.place)),
        name=Place(home.path, name_span(home, node)),
        function=Place(home.path, home.span_of(node)),
        scope=home.name_of(node) or "<lambda>",
        parameter=parameter_of(home, node),
        returns=returns,
        confidence=_confidence(handed.role, function.node),
        unguarded=unguarded_uses(run, function, arguments, returns),
    )


def _confidence(role: LossRole, node: FunctionNode | ast.Lambda) -> Confidence:
    """How sure it is that a Trainer's count could reach it: other libraries have registries of losses too."""
    if role is LossRole.ARGUMENT:
        return Confidence.CERTAIN
    names = parameter_names(node)
    if role is LossRole.REGISTERED:
        return Confidence.LIKELY if "outputs" in names or COUNT in names else Confidence.POSSIBLE
    heads = "vocab_size" in names or COUNT in names or node.args.kwarg is not None
    return Confidence.LIKELY if heads else Confidence.POSSIBLE


def _arguments(role: LossRole, function: Function, own: list[str]) -> dict[str, Value]:
    """What the caller passes: by position to a `compute_loss_func`, by name to all."""
    values: dict[str, Value] = {}
    for name in own:
        guess = entry(Tensor(TensorKind.OTHER), name)
        if guess.kind is not TensorKind.OTHER:
            values[name] = guess if guess.kind is not TensorKind.LABELS else replace(guess, origin=name)
        elif name == "outputs":
            values[name] = Output(Model(), UNKNOWN, UNKNOWN)
    if role is LossRole.ARGUMENT and len(own) > 1:
        values[own[0]] = Output(Model(), UNKNOWN, UNKNOWN)
        values[own[1]] = Tensor(TensorKind.LABELS, own[1], from_batch=True, origin="labels")
    if COUNT in own:
        values[COUNT] = TRAINERS_COUNT
    elif function.node.args.kwarg is not None:
        values[function.node.args.kwarg.arg] = Table(((COUNT, TRAINERS_COUNT),))
    return values
