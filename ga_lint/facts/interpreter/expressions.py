"""What is the value of an expression on one path?"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import calls, comparisons, comprehensions, conditions, objects, operators
from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.interpreter.flags import flag
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.interpreter.picked import are_kept, number_of
from ga_lint.facts.interpreter.remade import remade
from ga_lint.facts.interpreter.subscripts import output_attribute, subscript
from ga_lint.facts.values import (
    UNKNOWN,
    Boundary,
    Built,
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
from ga_lint.syntax.bindings import ImportedName
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


# What a test for the end of a loader speaks of, where it stands beside the modulo test.
_END = re.compile(r"\blen\(|last_|is_last|num_batches|end_of_dataloader|- 1$")


def evaluate(run: Interpreter, frame: Frame, state: State, node: ast.expr) -> Value:
    """The value of `node`; effects of calls inside it happen on this path."""
    reader = _READERS.get(type(node))
    return UNKNOWN if reader is None else reader(run, frame, state, node)


def _name(run: Interpreter, frame: Frame, state: State, node: ast.Name) -> Value:
    name = node.id
    known = state.env[name] if name in state.env else run.names.lookup(name, frame.scope, running=frame.running)
    if isinstance(known, Const) and isinstance(known.value, int | float) and known.text != name:
        return Const(known.value, name)  # messages and rewrites keep the user's name for a number
    return known


def _constant(_run: Interpreter, _frame: Frame, _state: State, node: ast.Constant) -> Value:
    return Const(node.value)


def _inner(run: Interpreter, frame: Frame, state: State, node: ast.Starred | ast.Await) -> Value:
    return run.evaluate(frame, state, node.value)


def _subscript(run: Interpreter, frame: Frame, state: State, node: ast.Subscript) -> Value:
    stored = _stored(state, node)
    base = run.evaluate(frame, state, node.value)
    key = run.evaluate(frame, state, node.slice) if not isinstance(node.slice, ast.Slice) else UNKNOWN
    return stored if stored is not None else subscript(run, frame, base, key, node)


def _binary(run: Interpreter, frame: Frame, state: State, node: ast.BinOp) -> Value:
    return remade(operators.binary(run, frame, state, node))


def _unary(run: Interpreter, frame: Frame, state: State, node: ast.UnaryOp) -> Value:
    return remade(operators.unary(run, frame, state, node))


def _conditional(run: Interpreter, frame: Frame, state: State, node: ast.IfExp) -> Value:
    test = run.evaluate(frame, state, node.test)
    known = conditions.truth(run, frame, state, node.test, test)
    if known is not None:
        return run.evaluate(frame, state, node.body if known else node.orelse)
    one, two = run.evaluate(frame, state, node.body), run.evaluate(frame, state, node.orelse)
    return flag(test, one, two) or choice([one, two])


def _items(run: Interpreter, frame: Frame, state: State, node: ast.Tuple | ast.List | ast.Set) -> Value:
    return Items(tuple(run.evaluate(frame, state, one) for one in node.elts))


def _named(run: Interpreter, frame: Frame, state: State, node: ast.NamedExpr) -> Value:
    value = state.env[node.target.id] = run.evaluate(frame, state, node.value)
    return value


def _lambda(_run: Interpreter, frame: Frame, _state: State, node: ast.Lambda) -> Value:
    return Function(node, frame.scope)


def _yielded(run: Interpreter, frame: Frame, state: State, node: ast.Yield) -> Value:
    if node.value is not None:
        frame.yielded.append(run.evaluate(frame, state, node.value))
    return UNKNOWN


def _boolean(run: Interpreter, frame: Frame, state: State, node: ast.BoolOp) -> Value:
    """`a or b`, `a and b`: a window's end that is one of them, else the first operand that decides."""
    values = [run.evaluate(frame, state, one) for one in node.values]
    bounds = [value for value in values if isinstance(value, Boundary)]
    if bounds:
        ends = isinstance(node.op, ast.Or) and any(_END.search(text_of(one)) for one in node.values)
        return replace(bounds[0], at_end=bounds[0].at_end or ends)
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
            return _of_external(run, frame, owner, name)
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
        case Tensor() if name == "data":
            return base
        case Tensor() if name == "shape" and are_kept(base):
            return Items((number_of(run, frame, node, base, f"{text}[0]"),))
        case Model(inner=Instance(cls=cls) as inner):
            return objects.attribute(run, frame, cls, inner, name, text)
        case Built() if (given := base.argument(None, name)) is not None:
            return given
        case Loss() if name == "loss":  # `outputs, *rest = model(**batch)`: no loss, but what holds it
            return base
        case Model() | Elements() | Loss() | Count() | Items() | Many() | Const():
            return UNKNOWN
        case Symbol(text=owner):
            return Symbol(f"{owner}.{name}", frame.scope.parsed.numbers.get(name))
        case _:
            return Symbol(text, frame.scope.parsed.numbers.get(name))


def _of_external(run: Interpreter, frame: Frame, owner: str, name: str) -> Value:
    """An attribute of a library; or a module of the project, in a folder that is no package: `import src.model`."""
    if owner.partition(".")[0] == "builtins":
        return UNKNOWN
    dotted = f"{owner}.{name}"
    if dotted in run.project.bindings(frame.scope.parsed).dotted:
        return run.names.imported(ImportedName(dotted, 0, None), frame.scope)
    return External(dotted)


def _table(run: Interpreter, frame: Frame, state: State, node: ast.Dict) -> Value:
    entries: dict[str, Value] = {}
    rest: Value = UNKNOWN
    is_open = False
    for key, value_node in zip(node.keys, node.values, strict=True):
        value = run.evaluate(frame, state, value_node)
        if key is None:
            is_open = is_open or value.is_open if isinstance(value, Table) else True
            if isinstance(value, Table):
                rest = rest if isinstance(value.rest, Unknown) else value.rest
                entries |= dict(value.entries)
            elif isinstance(value, Tensor):
                rest = value
        elif isinstance(key, ast.Constant) and isinstance(key.value, str):
            entries[key.value] = value
    return Table(tuple(entries.items()), rest, is_open)


_READERS: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Constant: _constant,
    ast.Call: calls.evaluate_call,
    ast.Subscript: _subscript,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.Compare: comparisons.compare,
    ast.BoolOp: _boolean,
    ast.IfExp: _conditional,
    ast.Tuple: _items,
    ast.List: _items,
    ast.Set: _items,
    ast.Dict: _table,
    ast.ListComp: comprehensions.collected,
    ast.SetComp: comprehensions.collected,
    ast.GeneratorExp: comprehensions.collected,
    ast.DictComp: comprehensions.keyed,
    ast.NamedExpr: _named,
    ast.Lambda: _lambda,
    ast.Yield: _yielded,
    ast.Starred: _inner,
    ast.Await: _inner,
}
