"""What is the value of an expression on one path?"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from ga_lint.diagnostics import Step
from ga_lint.facts import algebra, calls
from ga_lint.facts.elements import element_of, entry, is_ignore_index, output_attribute, subscript
from ga_lint.facts.model import Reduction
from ga_lint.facts.paths import Frame, State
from ga_lint.facts.values import (
    UNKNOWN,
    Boundary,
    Built,
    Choice,
    Class,
    Const,
    Count,
    Counter,
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
    Reciprocal,
    Remainder,
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

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


def evaluate(run: Interpreter, frame: Frame, state: State, node: ast.expr) -> Value:
    """The value of `node`; effects of calls inside it happen on this path."""
    match node:
        case ast.Constant(value=value):
            return Const(value)
        case ast.Name(id=name):
            known = state.env[name] if name in state.env else run.names.lookup(name, frame.scope)
            if isinstance(known, Const) and isinstance(known.value, int | float) and known.text != name:
                return Const(known.value, name)  # messages and rewrites keep the user's name for a number
            return known
        case ast.Attribute():
            return _attribute(run, frame, state, node)
        case ast.Subscript():
            stored = _stored(state, node)
            base = run.evaluate(frame, state, node.value)
            key = run.evaluate(frame, state, node.slice) if not isinstance(node.slice, ast.Slice) else UNKNOWN
            return stored if stored is not None else subscript(run, frame, base, key, node)
        case ast.Call():
            return calls.evaluate_call(run, frame, state, node)
        case ast.BinOp():
            return _binary(run, frame, state, node)
        case ast.UnaryOp():
            return _unary(run, frame, state, node)
        case ast.Compare():
            return _compare(run, frame, state, node)
        case ast.BoolOp(values=operands):
            values = [run.evaluate(frame, state, one) for one in operands]
            bounds = [value for value in values if isinstance(value, Boundary)]
            if bounds:
                return bounds[0]
            return _boolean(run, frame, state, node, values)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            known_test = run.truth(frame, state, test, run.evaluate(frame, state, test))
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
            state.env[name] = value = run.evaluate(frame, state, value_node)
            return value
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
        outcome = run.truth(frame, state, operand, value)
        if outcome is None:
            break
        if outcome is decisive:
            return value
    return choice([value for value in values if not isinstance(value, Unknown)] or [UNKNOWN])


def _stored(state: State, node: ast.Subscript) -> Value | None:
    """What the path has put under this key, by subscript or by attribute (`outputs.loss = ...`)."""
    if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        by_attribute = state.env.get(f"{ast.unparse(node.value)}.{node.slice.value}")
        if by_attribute is not None:
            return by_attribute
    return state.env.get(ast.unparse(node))


def _same_entries(source: Value) -> Value:
    """`{key: value.to(device) for key, value in batch.items()}`: the batch again."""
    if isinstance(source, Many) and isinstance(source.source, Tensor | Table):
        return source.source
    return source if isinstance(source, Tensor | Table) else Tensor(TensorKind.BATCH)


def _attribute(run: Interpreter, frame: Frame, state: State, node: ast.Attribute) -> Value:
    text = ast.unparse(node)
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
            return run.attribute(frame, cls, base, name, text)
        case Class():
            return run.class_attribute(base, name)
        case Super(cls=cls):
            return run.super_attribute(frame, cls, name)
        case Table():
            return base.get(name)
        case Tensor(kind=TensorKind.BATCH):
            return entry(base, name)
        case Model() if name == "module":
            return base
        case Built():
            given = base.argument(None, name)
            return given if given is not None else Symbol(text, run.number_of(frame, name))
        case Model() | Elements() | Loss() | Count() | Items() | Many() | Const():
            return UNKNOWN
        case Symbol(text=owner):
            return Symbol(f"{owner}.{name}", run.number_of(frame, name))
        case _:
            return Symbol(text, run.number_of(frame, name))


def _binary(run: Interpreter, frame: Frame, state: State, node: ast.BinOp) -> Value:
    left = run.evaluate(frame, state, node.left)
    right = run.evaluate(frame, state, node.right)
    if isinstance(node.op, ast.Mod) and not (isinstance(left, Const) and isinstance(left.value, str)):
        return Remainder(right if not isinstance(right, Unknown) else Symbol(ast.unparse(node.right)))
    results = [
        _operation(run, frame, node, one, two) for one in alternatives(left) for two in alternatives(right)
    ]
    return choice(results)


def _operation(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value:
    place = run.place(frame, node)
    left = left.first if isinstance(left, Output) else left  # a model whose forward returns the loss itself
    right = right.first if isinstance(right, Output) else right
    match node.op, left, right:
        case ast.Add(), Loss(), Loss():
            return algebra.added(left, right)
        case (ast.Add() | ast.Sub()), Loss(), _:
            return left
        case (ast.Add() | ast.Sub()), _, Loss():
            return right
        case ast.Mult(), Loss(), _:
            return algebra.scaled(left, right, 1, ast.unparse(node.right), place)
        case ast.Mult(), _, Loss():
            return algebra.scaled(right, left, 1, ast.unparse(node.left), place)
        case (ast.Div() | ast.FloorDiv()), Loss(), _:
            return algebra.scaled(left, right, -1, ast.unparse(node.right), place)
        case (ast.Mult() | ast.Div()), Elements(), _:
            if algebra.is_mask(right, ast.unparse(node.right)):
                return algebra.masked(left, right, ast.unparse(node.right), place)
            return left
        case ast.Mult(), _, Elements():
            if algebra.is_mask(left, ast.unparse(node.left)):
                return algebra.masked(right, left, ast.unparse(node.left), place)
            return right
        case _, Elements(), _:
            return left
        case _, _, Elements():
            return right
        case ast.Div(), Const(value=1 | 1.0), _:
            return Reciprocal(right, ast.unparse(node.right))
        case (ast.Div() | ast.FloorDiv()), Count(), _ if algebra.WORLD_NAME.search(ast.unparse(node.right)):
            return replace(left, per_rank=True)
        case (ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv()), Count(), _:
            return left
        case (ast.Add() | ast.Mult()), _, Count():
            return right
        case _, Const(value=int() | float() as one), Const(value=int() | float() as two):
            number = _number(node.op, one, two)
            named = isinstance(left, Const) and isinstance(right, Const) and bool(left.text or right.text)
            if named and isinstance(number, Const):  # a default of the script, not a fixed number
                return Symbol(ast.unparse(node), number.value)  # type: ignore[arg-type]
            return number
        case ast.Mult(), Tensor(kind=TensorKind.MASK), _:
            return left
        case ast.Mult(), _, Tensor(kind=TensorKind.MASK):
            return right
        case (ast.Add() | ast.Mult()), _, _:
            return _combined(run, frame, node, left, right)
        case (ast.BitAnd() | ast.BitOr()), Tensor(kind=TensorKind.MASK), _:
            return left
        case (ast.BitAnd() | ast.BitOr()), _, Tensor(kind=TensorKind.MASK):
            return right
        case _, Tensor(), _:
            return left
        case _, _, Tensor():
            return right
        case _, (Symbol() | Const()), (Symbol() | Const()):
            return Symbol(ast.unparse(node))
    return UNKNOWN


def _number(operator: ast.operator, left: float, right: float) -> Value:
    match operator:
        case ast.Add():
            return Const(left + right)
        case ast.Sub():
            return Const(left - right)
        case ast.Mult():
            return Const(left * right)
        case ast.FloorDiv() if right:
            return Const(left // right)
        case ast.Div() if right:
            return Const(left / right)
    return UNKNOWN


def _combined(run: Interpreter, frame: Frame, node: ast.BinOp, left: Value, right: Value) -> Value:
    """`[-100] * n + ids` and the like: lists in which the ignore index stands."""
    for part in (left, right):
        if isinstance(part, Items) and any(one == Const(-100) for one in part.values):
            place = run.place(frame, node)
            step = Step("-100 put into the labels", place.path, place.span)
            return Tensor(TensorKind.LABELS, ragged=(step,))
    for part in (left, right):
        if isinstance(part, Tensor) and part.ragged:
            return part
    for part in (left, right):
        if isinstance(part, Tensor):
            return part
    if isinstance(left, Symbol | Const) and isinstance(right, Symbol | Const):
        return Symbol(ast.unparse(node))
    return UNKNOWN


def _unary(run: Interpreter, frame: Frame, state: State, node: ast.UnaryOp) -> Value:
    value = run.evaluate(frame, state, node.operand)
    match node.op, value:
        case ast.Not(), Boundary():
            return replace(value, negated=not value.negated)
        case ast.Not(), Remainder(steps=steps):
            return Boundary(steps)
        case ast.Not(), Const(value=inner):
            return Const(not inner)
        case ast.USub(), Const(value=int() | float() as number):
            return Const(-number)
        case (ast.USub() | ast.UAdd() | ast.Invert()), _:
            return value
    return UNKNOWN


def _compare(run: Interpreter, frame: Frame, state: State, node: ast.Compare) -> Value:
    left = run.evaluate(frame, state, node.left)
    right = run.evaluate(frame, state, node.comparators[0])
    match left, node.ops[0]:
        case Remainder(steps=steps), ast.Eq():
            return Boundary(steps)
        case Remainder(steps=steps), (ast.NotEq() | ast.Gt() | ast.Lt()):
            return Boundary(steps, negated=True)
        case Counter(), (ast.Eq() | ast.GtE()) if isinstance(right, Const | Symbol):
            return Boundary(right)
    if isinstance(left, Tensor) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.Gt | ast.GtE | ast.Lt):
        return replace(left, kind=TensorKind.MASK, text=ast.unparse(node))
    if isinstance(left, Unknown | Symbol) and is_ignore_index(right) and isinstance(node.ops[0], ast.NotEq | ast.Eq):
        return Tensor(TensorKind.MASK, ast.unparse(node))
    if isinstance(left, Const) and isinstance(right, Const) and len(node.ops) == 1:
        match node.ops[0]:
            case ast.Eq():
                return Const(left.value == right.value)
            case ast.NotEq():
                return Const(left.value != right.value)
            case ast.Is():
                return Const(left.value is right.value)
            case ast.IsNot():
                return Const(left.value is not right.value)
    return UNKNOWN


def _table(run: Interpreter, frame: Frame, state: State, node: ast.Dict) -> Value:
    table = Table(())
    for key, value_node in zip(node.keys, node.values, strict=True):
        value = run.evaluate(frame, state, value_node)
        if key is None:
            if isinstance(value, Table):
                table = Table(tuple({**dict(table.entries), **dict(value.entries)}.items()), value.rest)
            elif isinstance(value, Tensor):
                table = replace(table, rest=value)
        elif isinstance(key, ast.Constant) and isinstance(key.value, str):
            table = table.put(key.value, value)
    return table


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
    rounds = source.steps if isinstance(source, Many) else None
    return Many(element, source if isinstance(source, Built | Tensor) else None, rounds)


def _bound_generators(
    run: Interpreter, frame: Frame, state: State, generators: list[ast.comprehension]
) -> State:
    from ga_lint.facts.statements import assign

    inner = state.fork()
    for generator in generators:
        source = run.evaluate(frame, inner, generator.iter)
        assign(run, frame, inner, generator.target, element_of(run, frame, source, generator.target))
    return inner


__all__ = ["Reduction", "evaluate"]
