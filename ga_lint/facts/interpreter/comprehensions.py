"""What does a comprehension collect?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter import algebra
from ga_lint.facts.interpreter.assignments import assign
from ga_lint.facts.interpreter.elements import element_of
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.values import (
    Built,
    Choice,
    Const,
    Items,
    Many,
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


_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp


def collected(run: Interpreter, frame: Frame, state: State, node: _Comprehension) -> Value:
    """`[loss(batch) for batch in window]`: a list, a set, or what a generator yields."""
    inner = _bound_generators(run, frame, state, node.generators)
    element = run.evaluate(frame, inner, node.elt)
    if element == Const(-100) or (isinstance(element, Choice) and Const(-100) in element.values):
        place = run.place(frame, node)
        return Tensor(TensorKind.LABELS, ragged=(place.as_step("-100 put into the labels"),))
    source = run.evaluate(frame, inner, node.generators[0].iter)
    if isinstance(source, Items) and len(node.generators) == 1 and not node.generators[0].ifs:
        parts = [_element_for(run, frame, state, node, one) for one in source.values]
        if all(isinstance(one, Tensor | Unknown) for one in parts):  # a batch, and not a window of them
            return Items(tuple(parts))
    if isinstance(source, Many) and source.loop:
        return Many(algebra.collected(element, source.loop), steps=source.steps, loop=source.loop)
    element = algebra.gathered(element, len(frame.loops))
    if isinstance(source, Many):
        return Many(element, steps=source.steps)
    return Many(element, source if isinstance(source, Built | Tensor) else None)


def keyed(run: Interpreter, frame: Frame, state: State, node: ast.DictComp) -> Value:
    """`{key: value.to(device) for key, value in batch.items()}`."""
    inner = _bound_generators(run, frame, state, node.generators)
    source = run.evaluate(frame, inner, node.generators[0].iter)
    run.evaluate(frame, inner, node.value)
    return choice([_same_entries(one) for one in alternatives(source)])


def _same_entries(source: Value) -> Value:
    """The batch again, where its entries are gone through."""
    if isinstance(source, Many) and isinstance(source.source, Tensor | Table):
        return source.source
    return source if isinstance(source, Tensor | Table) else Tensor(TensorKind.BATCH)


def _element_for(run: Interpreter, frame: Frame, state: State, node: _Comprehension, value: Value) -> Value:
    """`tuple(part.to(device) for part in batch)`: each part stays where it is."""
    inner = state.fork()
    assign(run, frame, inner, node.generators[0].target, value)
    return run.evaluate(frame, inner, node.elt)


def _bound_generators(run: Interpreter, frame: Frame, state: State, generators: list[ast.comprehension]) -> State:
    """The path inside the comprehension: its names stand for one element of what each `for` goes through."""
    inner = state.fork()
    for generator in generators:
        source = run.evaluate(frame, inner, generator.iter)
        assign(run, frame, inner, generator.target, element_of(run, frame, source, generator.target))
    return inner
