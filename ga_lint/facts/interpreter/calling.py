"""What does a function start with? Each parameter's argument, else its default."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ga_lint.facts.model import Place
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Class,
    Const,
    Elements,
    External,
    Function,
    Instance,
    Items,
    Loss,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
)
from ga_lint.syntax.parameters import positional_names
from ga_lint.syntax.parsed import FunctionNode
from ga_lint.syntax.text import last_name

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.scopes import Scope

# Types that are asked about with every parameter, each in a file of its own, and that no network is called.
_NO_NETWORK = re.compile(r"(Config|Configuration|Args|Arguments|Tokenizer\w*|Processor|Cache|Tensor|Dataset|Loader)$")


def bind(function: Function, positional: tuple[Value, ...], named: tuple[tuple[str, Value], ...]) -> dict[str, Value]:
    """Arguments by parameter name; what is left over goes to `*args` and `**kwargs`."""
    parameters = function.node.args
    names = positional_names(function.node)
    values: dict[str, Value] = dict(function.preset)
    if function.bound is not None and names:
        values[names[0]] = function.bound
        names = names[1:]
    names = [name for name in names if name not in values]
    values.update(zip(names, positional, strict=False))
    known = {*names, *(parameter.arg for parameter in parameters.kwonlyargs)}
    rest: list[tuple[str, Value]] = []
    for name, value in named:
        if name in known:
            values[name] = value
        else:
            rest.append((name, value))
    if parameters.kwarg is not None and rest:
        entries = tuple((name, value) for name, value in rest if name != "**")
        unpacked = [value for name, value in rest if name == "**"]
        values[parameters.kwarg.arg] = Table(entries, unpacked[0] if unpacked else UNKNOWN)
    if parameters.vararg is not None and len(positional) > len(names):
        values[parameters.vararg.arg] = Items(positional[len(names) :])
    return values


def environment(
    run: Interpreter, function: Function, arguments: Mapping[str, Value], *, called: bool
) -> dict[str, Value]:
    """The names that a call starts with: arguments, else defaults, else unknown.

    A default only says what a parameter is where the call was seen; otherwise a number is kept as a hint.
    """
    parameters = function.node.args
    plain = [*parameters.posonlyargs, *parameters.args]
    values: dict[str, Value] = {}
    first_default = len(plain) - len(parameters.defaults)
    for index, parameter in enumerate(plain):
        if parameter.arg in arguments:
            values[parameter.arg] = arguments[parameter.arg]
        elif index >= first_default:
            default = parameters.defaults[index - first_default]
            values[parameter.arg] = _default(run, parameter.arg, default, function.scope, called)
        else:
            values[parameter.arg] = UNKNOWN
    for parameter, default_node in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True):
        known = _default(run, parameter.arg, default_node, function.scope, called)
        values[parameter.arg] = arguments.get(parameter.arg, known)
    for rest in (parameters.vararg, parameters.kwarg):
        if rest is not None:
            values[rest.arg] = arguments.get(rest.arg, UNKNOWN)
    for parameter in (*plain, *parameters.kwonlyargs):
        if parameter.annotation is not None and isinstance(values[parameter.arg], Unknown | Symbol):
            values[parameter.arg] = _annotated(run, parameter.annotation, function.scope) or values[parameter.arg]
    return values


def _annotated(run: Interpreter, annotation: ast.expr, scope: Scope) -> Value | None:
    """`model: MeshTransformer`: a network of the project's own, though nobody is seen handing it over.

    Likewise what runs backward, of the project's own or a library's: `booster: Booster`.
    """
    named = _type_named(annotation)
    if named is None or _NO_NETWORK.search(last_name(named)):
        return None
    found = run.module_expression(named, scope)
    if isinstance(found, Class) and any(run.names.method(found, name) for name in ("forward", "backward")):
        return Instance(found, supposed=True)
    row = run.knowledge.drivers.get(found.name) if isinstance(found, External) else None
    if isinstance(found, External) and row is not None and row.stack == "torch":  # the others go by name
        return Built(found.name, (), (), Place(scope.parsed.path, scope.parsed.span_of(annotation)))
    return None


def _type_named(annotation: ast.expr) -> ast.expr | None:
    """The one type that is written here, which may be absent: `Net | None`, `Optional[Net]`, `"Net"`."""
    match annotation:
        case ast.Name() | ast.Attribute():
            return annotation
        case ast.Constant(value=str() as text) if text.isidentifier():
            return ast.copy_location(ast.Name(text, ast.Load()), annotation)
        case ast.Subscript(value=ast.Name(id="Optional") | ast.Attribute(attr="Optional"), slice=inner):
            return _type_named(inner)
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _type_named(left)
    return None


def _default(run: Interpreter, name: str, node: ast.expr | None, scope: Scope, called: bool) -> Value:
    value = run.module_expression(node, scope) if node is not None else UNKNOWN
    if called or not isinstance(value, Const):
        return value
    number = value.value
    return Symbol(name, float(number)) if isinstance(number, int | float) and number is not True else UNKNOWN


def bears_loss(value: Value) -> bool:
    """Is an argument targets, or what became of them?"""
    return any(
        isinstance(one, Loss | Elements) or (isinstance(one, Tensor) and one.kind is TensorKind.LABELS)
        for one in alternatives(value)
    )


def is_one_expression(node: FunctionNode | ast.Lambda) -> bool:
    """Does the function do nothing but return one expression? One that hands all on to another takes nobody deeper."""
    if isinstance(node, ast.Lambda):
        return True
    return isinstance(node.body[-1], ast.Return) and all(isinstance(one, ast.Expr) for one in node.body[:-1])
