"""What does an assignment bind? Names, attributes, elements of a batch, and what is added up."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import algebra, gradients
from ga_lint.facts.interpreter.elements import is_ignore_index
from ga_lint.facts.interpreter.events import Context
from ga_lint.facts.interpreter.own_losses import tells_of_loss
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.interpreter.remade import change_in_place, remade
from ga_lint.facts.interpreter.unpacking import unpacked
from ga_lint.facts.values import (
    COUNT,
    UNKNOWN,
    Choice,
    Const,
    Count,
    Counter,
    Items,
    Loss,
    Many,
    Scale,
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


def follow(run: Interpreter, frame: Frame, state: State, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
    """What an assignment of any kind does to a path."""
    match node:
        case ast.AugAssign():
            _augment(run, frame, state, node)
        case ast.Assign() if frame.loops and (augmented := as_augmented(node)) is not None:
            _augment(run, frame, state, augmented)
        case ast.Assign(value=right) | ast.AnnAssign(value=ast.expr() as right):
            value = _without_gradient(frame, run.evaluate(frame, state, right))
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                assign(run, frame, state, target, value)


def named(value: Value, target: ast.expr) -> Value:
    """A micro-batch as the loop's head names it."""
    match value, target:
        case Tensor(), ast.Name(id=name):
            return replace(value, origin=name, remade=False)
        case Tensor(), ast.Tuple():
            return replace(value, origin="", remade=False)  # each part has a name of its own
        case Items(values=values), ast.Tuple(elts=targets) if len(values) == len(targets):
            return Items(tuple(named(one, part) for one, part in zip(values, targets, strict=True)))
        case Items(values=values), ast.Name(id=name):
            parts = enumerate(values)
            return Items(tuple(_part_of_batch(one, f"{name}[{index}]") for index, one in parts))
        case Choice(values=values), _:
            return choice([named(one, target) for one in values])
        case Table(entries=entries), ast.Name(id=name):
            keyed = [(key, _part_of_batch(one, f'{name}["{key}"]')) for key, one in entries]
            return replace(value, entries=tuple(keyed))
    return value


def _part_of_batch(value: Value, text: str) -> Value:
    return replace(value, origin=text, remade=False) if isinstance(value, Tensor) else value


def forget_parts(state: State, target: ast.expr) -> None:
    """What was put into the last round's object is not in this round's: `p.requires_grad = False` of another `p`."""
    for name in [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]:
        for text in [text for text in state.env if text.startswith((f"{name}.", f"{name}["))]:
            del state.env[text]


def _is_nameless_batch(value: Value) -> bool:
    """A micro-batch that no loop's head has named: `batch = next(batches)`."""
    match value:
        case Tensor(kind=TensorKind.BATCH, origin=origin):
            return not origin
        case Table(entries=entries):
            return not any(isinstance(one, Tensor) and one.origin for _, one in entries)
    return False


def assign(run: Interpreter, frame: Frame, state: State, target: ast.expr, value: Value) -> None:
    """Bind a target: a name, an attribute, an element, or several of them."""
    match target:
        case ast.Name(id=name):
            state.env[name] = named(value, target) if frame.loops and _is_nameless_batch(value) else value
        case ast.Attribute():
            state.env[text_of(target)] = value
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            for one, part in zip(targets, unpacked(run, frame, value, targets), strict=True):
                assign(run, frame, state, one.value if isinstance(one, ast.Starred) else one, part)
        case ast.Subscript():
            _assign_element(run, frame, state, target, value)


def _assign_element(run: Interpreter, frame: Frame, state: State, target: ast.Subscript, value: Value) -> None:
    """`labels[mask] = -100`, `batch["labels"] = labels`, `table[key] = value`."""
    text = text_of(target.value)
    base = run.evaluate(frame, state, target.value)
    key = run.evaluate(frame, state, target.slice)
    if is_ignore_index(value):
        place = run.place(frame, target)
        step = place.as_step(f"positions of `{text}` set to the ignore index")
        kept = base if isinstance(base, Tensor) else Tensor(TensorKind.LABELS, text)
        change_in_place(state, text, replace(kept, kind=TensorKind.LABELS, ragged=(*kept.ragged, step)))
        return
    if isinstance(key, Const) and isinstance(key.value, str):
        if isinstance(base, Table) or (tells_of_loss(value) and _may_be_table(base)):
            _put(run, frame, state, target, key.value, value)
        elif isinstance(base, Unknown | Symbol) and isinstance(target.value, ast.Name) and tells_of_loss(value):
            state.env[text] = Table(((key.value, value),), is_open=True, handed=True)
        elif key.value == COUNT and isinstance(base, Tensor):
            state.env[text] = Table(((COUNT, value),), base)
        else:
            state.env[text_of(target)] = value
    elif isinstance(base, Table):
        state.env[text] = replace(base, rest=value, is_open=True)
    elif isinstance(base, Tensor | Many) and isinstance(value, Tensor) and value.ragged:
        state.env[text] = remade(value)
    elif isinstance(base, Tensor):
        change_in_place(state, text, base)


def _may_be_table(value: Value) -> bool:
    """Is it one of several dictionaries? What is put into each of them on some path makes them twice as many."""
    return any(isinstance(one, Table) for one in alternatives(value))


def _put(run: Interpreter, frame: Frame, state: State, target: ast.Subscript, name: str, value: Value) -> None:
    """`info["losses"]["loss"] = loss / steps`: the table that holds the one which is put into holds the change too."""
    held = run.evaluate(frame, state, target.value)
    changed = choice([one.put(name, value) if isinstance(one, Table) else one for one in alternatives(held)])
    match target.value:
        case ast.Subscript(value=outer, slice=ast.Constant(value=str() as key)):
            if any(isinstance(one, Table) for one in alternatives(run.evaluate(frame, state, outer))):
                state.env.pop(text_of(target.value), None)
                _put(run, frame, state, target.value, key, changed)
                return
    state.env[text_of(target.value)] = changed


def as_augmented(node: ast.Assign) -> ast.AugAssign | None:
    """`total = total + x` as `total += x`."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)], value=ast.BinOp(left=ast.Name(id=own) as left, op=ast.Add(), right=right)
        ) if name == own:
            return ast.copy_location(ast.AugAssign(left, ast.Add(), right), node.value)
    return None


def _augment(run: Interpreter, frame: Frame, state: State, node: ast.AugAssign) -> None:
    text = text_of(node.target)
    if isinstance(node.op, ast.Mult | ast.Div) and gradients.is_gradient(text):
        gradients.record_scaling(run, frame, state, node, node.value, 1 if isinstance(node.op, ast.Mult) else -1)
        return
    old = run.evaluate(frame, state, node.target)
    right = run.evaluate(frame, state, node.value)
    if isinstance(node.op, ast.Add) and isinstance(right, Count) and frame.loops and not isinstance(old, Loss):
        if right.scale in (Scale.MICRO_BATCH, Scale.RUNNING) and _goes_on(frame, state, text):
            right = replace(right, scale=Scale.RUNNING, loop=frame.loops[-1].id, text=text)
        state.env[text] = right
        return
    if isinstance(node.op, ast.Add) and right == Const(1) and frame.loops and isinstance(old, Const | Counter):
        state.env[text] = Counter()
        return
    as_binary = ast.copy_location(ast.BinOp(node.target, node.op, node.value), node)
    value = _without_gradient(frame, run.evaluate(frame, state, as_binary))
    if isinstance(node.op, ast.Add) and not isinstance(old, Loss) and _goes_on(frame, state, text):
        value = algebra.collected(value, frame.loops[-1].id)
    state.env[text] = value


def _goes_on(frame: Frame, state: State, text: str) -> bool:
    """Does the running loop's next round go on with it? A helper's own name is new in each call."""
    if not frame.loops or text in frame.loops[-1].assigned:
        return False
    return len(frame.loops) > frame.inherited or text not in state.env or not text.isidentifier()


def _without_gradient(frame: Frame, value: Value) -> Value:
    return UNKNOWN if Context.NO_GRAD in frame.contexts and isinstance(value, Loss) else value
