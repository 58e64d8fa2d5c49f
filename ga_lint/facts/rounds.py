"""Which functions are one round of a loop that is elsewhere? They run backward, and step where a window ends."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.assignments import named
from ga_lint.facts.interpreter.closures import closure
from ga_lint.facts.interpreter.events import Event, EventKind, Loop
from ga_lint.facts.model import Place
from ga_lint.facts.roots import functions_of
from ga_lint.facts.values import UNKNOWN, Boundary, Function, Loss, Tensor, TensorKind, Value, alternatives
from ga_lint.syntax.parameters import positional_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

_BATCHES = ("batch", "batch_data", "minibatch", "mini_batch")


def run_rounds(run: Interpreter, parsed: ParsedFile) -> None:
    """Follow such functions once more, inside of that loop: `update(engine, batch)`, a method that counts its calls."""
    if not any(event.kind is EventKind.BACKWARD and not event.loops for event in run.events):
        return
    nodes = {Place(parsed.path, parsed.span_of(one)): one for one in parsed.walked if isinstance(one, FunctionNode)}
    places = dict.fromkeys(_rounds(run, nodes))
    for place in [one for one in places if one in nodes]:
        around = sorted((one.span, node) for one, node in nodes.items() if one.span.contains(place.span))
        for function in _functions(run, parsed, nodes[place], [node for _, node in around[:-1]]):
            run.run_function(function, _arguments(nodes[place]), (Loop(run.new_loop_id(), place, place, UNKNOWN),))


def _functions(
    run: Interpreter, parsed: ParsedFile, node: FunctionNode, outer: list[FunctionNode]
) -> Iterator[Function]:
    """The function, with what those bind that it is defined in; a method, of each class that has it."""
    if not outer:
        return functions_of(run, parsed, node)
    return iter([Function(node, closure(run, run.names.module(parsed), outer))])


def _rounds(run: Interpreter, nodes: Mapping[Place, FunctionNode]) -> Iterator[Place]:
    """Functions that no loop is seen around, with a backward and a step under a test for a window's end.

    Where that function is handed the loss, a round is what hands it over: `self.optimize(loss)`, `self.backward(loss)`.
    """
    looped = {event.place for event in run.events if event.loops}
    alone = [event for event in run.events if not event.loops and event.place not in looped]
    gated = {
        event.function
        for event in alone
        if event.kind is EventKind.STEP and any(isinstance(guard.test, Boundary) for guard in event.guards)
    }
    for event in alone:
        if event.kind is EventKind.BACKWARD and event.function is not None and event.function in gated:
            yield _giver(event, nodes) or event.function


def _giver(event: Event, nodes: Mapping[Place, FunctionNode]) -> Place | None:
    """The function of this file that computes the loss, and calls the one that runs backward."""
    if not event.via or not any(isinstance(one, Loss) for one in alternatives(event.value)):
        return None
    call = event.via[0]
    around = [one for one in nodes if one.path == call.path and one.span.contains(call.span)]
    return max(around, key=lambda one: one.span.start, default=None)


def _arguments(node: FunctionNode) -> dict[str, Value]:
    """What the loop draws, by the name that the function gives it."""
    found = [name for name in positional_names(node) if name in _BATCHES]
    return {name: named(Tensor(TensorKind.BATCH), ast.Name(name)) for name in found}
