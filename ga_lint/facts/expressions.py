"""What is the value of an expression on one path?"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ga_lint.diagnostics import Step
from ga_lint.facts import algebra, calls, conditions, objects, operators
from ga_lint.facts.elements import element_of, entry, output_attribute, subscript
from ga_lint.facts.paths import Frame, State
from ga_lint.facts.remade import remade
from ga_lint.facts.values import (
    UNKNOWN,
    Boundary,
    Built,
    Choice,
    Class,
    Const,
    Count,
    Elements,
    External,
    Function,
    Instance,
    Items,
    Loss,
    Many,
    Model,
    Module,
    Output,
    Super,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


# What a test for the end of a loader speaks of, where it stands beside the modulo test.
_END = re.compile(r"\blen\(|last_|is_last|num_batches|end_of_dataloader|- 1$")


def evaluate(run: Interpreter, frame: Frame, state: State, node: ast.expr) -> Value:
    """The value of `node`; effects of calls inside it happen on this path."""
    common = _COMMON.get(type(node))  # five of six expressions
    return common(run, frame, state, node) if common is not None else _evaluate_other(run, frame, state, node)


def _name(run: Interpreter, frame: Frame, state: State, node: ast.Name) -> Value:
    name = node.id
    known = state.env[name] if name in state.env else run.names.lookup(name, frame.scope, running=frame.running)
    if isinstance(known, Const) and isinstance(known.value, int | float) and known.text != name:
        return Const(known.value, name)  # messages and rewrites keep the user's name for a number
    return known


def _constant(run: Interpreter, frame: Frame, state: State, node: ast.Constant) -> Value:
    return Const(node.value)


def _evaluate_other(run: Interpreter, frame: Frame, state: State, node: ast.expr) -> Value:
    match node:
        case ast.Subscript():
            stored = _stored(state, node)
            base = run.evaluate(frame, state, node.value)
            key = run.evaluate(frame, state, node.slice) if not isinstance(node.slice, ast.Slice) else UNKNOWN
            return stored if stored is not None else subscript(run, frame, base, key, node)
        case ast.BinOp():
            return remade(operators.binary(run, frame, state, node))
        case ast.UnaryOp():
            return remade(operators.unary(run, frame, state, node))
        case ast.Compare():
            return operators.compare(run, frame, state, node)
        case ast.BoolOp(values=operands):
            values = [run.evaluate(frame, state, one) for one in operands]
            bounds = [value for value in values if isinstance(value, Boundary)]
            if bounds:
                ends = isinstance(node.op, ast.Or) and any(_END.search(text_of(one)) for one in operands)
                return replace(bounds[0], at_end=bounds[0].at_end or ends)
            return _boolean(run, frame, state, node, values)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            known_test = conditions.truth(run, frame, state, test, run.evaluate(frame, state, test))
            if known_test is not None:
                return run.evaluate(frame, state, body if known_test else orelse)
            return choice([run.evaluate(frame, state, body), run.evaluate(frame, state, orelse)])
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return Items(tuple(run.evaluate(frame, state, one) for one in elements))
        case ast.Dict():
            return _table(run, frame, state, node)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
            return _comprehension(run, frame, state, node)
        case ast.DictComp():
            inner = _bound_generators(run, frame, state, node.generators)
            source = run.evaluate(frame, inner, node.generators[0].iter)
            run.evaluate(frame, inner, node.value)
            return choice([_same_entries(one) for one in alternatives(source)])
        case ast.NamedExpr(target=ast.Name(id=name), value=value_node):
            state.env[name] = run.evaluate(frame, state, value_node)
            return state.env[name]
        case ast.Lambda():
            return Function(node, frame.scope)
        case ast.Yield(value=ast.expr() as inner_node):
            frame.yielded.append(run.evaluate(frame, state, inner_node))
        case ast.Starred(value=inner_node) | ast.Await(value=inner_node):
            return run.evaluate(frame, state, inner_node)
    return UNKNOWN


def _boolean(run: Interpreter, frame: Frame, state: State, node: ast.BoolOp, values: list[Value]) -> Value:
    """`a or b`, `a and b`: the first operand that decides, where that is known."""
    decisive = isinstance(node.op, ast.Or)
    for operand, value in zip(node.values, values, strict=True):
        outcome = conditions.truth(run, frame, state, operand, value)
        if outcome is None:
            break
        if outcome is decisive:
            return value
    known: list[Value] = [value for value in values if not isinstance(value, Unknown)]
    if len(known) < len(values):  # beside something unknown, an operand that is true decides nothing
        known = [value for value in known if not (isinstance(value, Const) and isinstance(value.value, bool))]
    return choice(known or [UNKNOWN])


def _stored(state: State, node: ast.Subscript) -> Value | None:
    """What the path has put under this key, by subscript or by attribute (`outputs.loss = ...`)."""
    if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        by_attribute = state.env.get(f"{text_of(node.value)}.{node.slice.value}")
        if by_attribute is not None:
            return by_attribute
    return state.env.get(text_of(node))


def _same_entries(source: Value) -> Value:
    """`{key: value.to(device) for key, value in batch.items()}`: the batch again."""
    if isinstance(source, Many) and isinstance(source.source, Tensor | Table):
        return source.source
    return source if isinstance(source, Tensor | Table) else Tensor(TensorKind.BATCH)


def _attribute(run: Interpreter, frame: Frame, state: State, node: ast.Attribute) -> Value:
    text = text_of(node)
    if text in state.env:
        return state.env[text]
    base = run.evaluate(frame, state, node.value)
    return choice([_attribute_of(run, frame, one, node, text) for one in alternatives(base)])


def _attribute_of(run: Interpreter, frame: Frame, base: Value, node: ast.Attribute, text: str) -> Value:
    name = node.attr
    match base:
        case External(name=owner):
            return External(f"{owner}.{name}") if owner.partition(".")[0] != "builtins" else UNKNOWN
        case Module(scope=scope):
            return run.names.attribute(scope, name)
        case Output():
            return output_attribute(run, frame, base, name, node)
        case Instance(cls=cls):
            return objects.attribute(run, frame, cls, base, name, text)
        case Class():
            return objects.class_attribute(run, base, name)
        case Super(cls=cls):
            return objects.super_attribute(run, frame, cls, name)
        case Table():
            return base.get(name)
        case Tensor(kind=TensorKind.BATCH):
            return entry(base, name)
        case Model() if name == "module":
            return base
        case Built():
            given = base.argument(None, name)
            return given if given is not None else Symbol(text, frame.scope.parsed.numbers.get(name))
        case Model() | Elements() | Loss() | Count() | Items() | Many() | Const():
            return UNKNOWN
        case Symbol(text=owner):
            return Symbol(f"{owner}.{name}", frame.scope.parsed.numbers.get(name))
        case _:
            return Symbol(text, frame.scope.parsed.numbers.get(name))


def _table(run: Interpreter, frame: Frame, state: State, node: ast.Dict) -> Value:
    entries: dict[str, Value] = {}
    rest: Value = UNKNOWN
    for key, value_node in zip(node.keys, node.values, strict=True):
        value = run.evaluate(frame, state, value_node)
        if key is None:
            if isinstance(value, Table):
                rest = rest if isinstance(value.rest, Unknown) else value.rest
                entries |= dict(value.entries)
            elif isinstance(value, Tensor):
                rest = value
        elif isinstance(key, ast.Constant) and isinstance(key.value, str):
            entries[key.value] = value
    return Table(tuple(entries.items()), rest)


def _comprehension(
    run: Interpreter, frame: Frame, state: State, node: ast.ListComp | ast.SetComp | ast.GeneratorExp
) -> Value:
    inner = _bound_generators(run, frame, state, node.generators)
    element = run.evaluate(frame, inner, node.elt)
    if element == Const(-100) or (isinstance(element, Choice) and Const(-100) in element.values):
        place = run.place(frame, node)
        element = Tensor(TensorKind.LABELS, ragged=(Step("-100 put into the labels", place.path, place.span),))
        return element
    first = node.generators[0].iter
    source = run.evaluate(frame, inner, first)
    if isinstance(source, Items) and len(node.generators) == 1 and not node.generators[0].ifs:
        parts = [_element_for(run, frame, state, node, one) for one in source.values]
        if all(isinstance(one, Tensor | Unknown) for one in parts):  # a batch, and not a window of them
            return Items(tuple(parts))
    if isinstance(source, Many):
        return Many(algebra.collected(element, source.loop), steps=source.steps, loop=source.loop)
    return Many(element, source if isinstance(source, Built | Tensor) else None)


def _element_for(
    run: Interpreter,
    frame: Frame,
    state: State,
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp,
    value: Value,
) -> Value:
    """`tuple(part.to(device) for part in batch)`: each part stays where it is."""
    from ga_lint.facts.assignments import assign

    inner = state.fork()
    assign(run, frame, inner, node.generators[0].target, value)
    return run.evaluate(frame, inner, node.elt)


def _bound_generators(run: Interpreter, frame: Frame, state: State, generators: list[ast.comprehension]) -> State:
    from ga_lint.facts.assignments import assign

    inner = state.fork()
    for generator in generators:
        source = run.evaluate(frame, inner, generator.iter)
        assign(run, frame, inner, generator.target, element_of(run, frame, source, generator.target))
    return inner


_COMMON: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Constant: _constant,
    ast.Call: calls.evaluate_call,
}
