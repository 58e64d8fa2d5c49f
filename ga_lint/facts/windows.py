"""Which micro-batches make up one optimizer step, and which loss goes into each backward?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.events import Context, Event, EventKind, Guard
from ga_lint.facts.model import Answer, Idiom, LibraryDivision, Place, Stack, Window
from ga_lint.facts.stacks import holds_engine, stack_and_division, steps_of
from ga_lint.facts.values import (
    UNKNOWN,
    Boundary,
    Const,
    Loss,
    Model,
    Symbol,
    Value,
    alternatives,
)
from ga_lint.facts.window_signs import (
    cleared_before,
    cleared_inside,
    divisor_of,
    every_round,
    is_discarded,
    scalings_of,
    stepped_behind,
    with_shared,
)
from ga_lint.facts.written_steps import runs_over, written_steps


class Shape(NamedTuple):
    """How a window was recognised: the optimizer step that ends it, and what says after how many micro-batches."""

    step: Event
    idiom: Idiom
    rounds: Value
    gate: Place | None  # the test or the loop that is the window's
    gathers: bool = False  # the rounds gather losses, and backward waits for the boundary


def windows_of(run: Interpreter, distributed: Stack | None) -> tuple[Window, ...]:
    """The windows among the recorded events. `distributed`: the wrapper that the file puts around its model."""
    found: dict[tuple[object, ...], list[Loss]] = {}
    shapes: dict[tuple[object, ...], tuple[Event, Shape]] = {}
    steps = [event for event in run.events if event.kind is EventKind.STEP]
    backwards = [event for event in run.events if event.kind is EventKind.BACKWARD]
    for event in (every_round(one, backwards) for one in backwards):
        if not event.loops or Context.NO_GRAD in event.contexts:
            continue
        shape = _window_of(event, steps) or _added_up(event, steps)
        if shape is None or is_discarded(event, shape.step, run.events):
            continue
        key = (event.place, shape.idiom)
        shapes.setdefault(key, (event, shape))
        found.setdefault(key, []).extend(losses_in(event.value))
    windows = (_window(run, *shapes[key], found.get(key, ()), distributed) for key in shapes)
    return tuple(with_shared(windows, run.events))


def _added_up(backward: Event, steps: Sequence[Event]) -> Shape | None:
    """Losses of an inner loop, added up and divided by a number of micro-batches before one backward.

    Where one of the whole batch is divided with them, the inner loop runs over parts of that.
    """
    step = next((step for step in steps if step.loops == backward.loops), None)
    for loss in losses_in(backward.value) if step is not None else ():
        divisors = {term: divisor_of(term) for term in loss.terms}
        of_batch = {divisors[term] for term in loss.terms if term.site.depth <= len(backward.loops)}
        for term, divisor in divisors.items():
            deeper = term.site.scope == backward.scope and term.site.depth > len(backward.loops)
            if step is not None and deeper and divisor and divisor not in of_batch:
                return Shape(step, Idiom.INNER_LOOP, Symbol(divisor), None)
    return None


def losses_in(value: Value) -> list[Loss]:
    """The loss on each path; nothing for values that are not a loss."""
    return [one for one in alternatives(value) if isinstance(one, Loss)]


def _window_of(backward: Event, steps: Sequence[Event]) -> Shape | None:
    shared = [(step, _shared_depth(step, backward)) for step in steps]
    same = [step for step, depth in shared if depth == len(backward.loops)]
    if same:
        return _in_same_loop(backward, same)
    for step, depth in sorted(shared, key=lambda one: one[0].function != backward.function):  # its own function's first
        if depth or not step.loops:
            loop = backward.loops[depth]
            return Shape(step, Idiom.INNER_LOOP, loop.rounds, loop.place)
    return None


def _shared_depth(step: Event, backward: Event) -> int:
    """How many loops the two have in common; a loop over several optimizers is the step's own."""
    depth = 0
    for one, other in zip(step.loops, backward.loops, strict=False):
        if one.id != other.id:
            break
        depth += 1
    return depth


def _in_same_loop(backward: Event, steps: list[Event]) -> Shape | None:
    gathered = _gathered(backward, steps)
    if gathered is not None:
        return gathered
    accumulates = Context.ACCUMULATE in backward.contexts
    if not accumulates and _stepped_at_once(backward, steps):
        return None
    for step in steps:
        match _boundary(step.guards, backward.guards):
            case guard, test if not _stepped_otherwise(guard, steps):
                return Shape(step, Idiom.GATE, test.steps, guard.place)
        if accumulates or any("sync_gradients" in guard.text and guard.outcome for guard in step.guards):
            return Shape(step, Idiom.ACCUMULATE, UNKNOWN, None)
    engine = next((step for step in steps if _is_engine(step.driver) or _is_engine(backward.driver)), None)
    return Shape(engine, Idiom.ENGINE, UNKNOWN, None) if engine is not None else None


def _gathered(backward: Event, steps: list[Event]) -> Shape | None:
    """Losses that the rounds gather in a list or a total, and one backward for all of them at the boundary."""
    terms = [term for loss in losses_in(backward.value) for term in loss.terms]
    if not terms or any(term.site.collected != backward.loops[-1].id for term in terms):
        return None
    for step in steps:
        match _boundary(step.guards, ()):
            case guard, test if guard in backward.guards:
                return Shape(step, Idiom.GATE, test.steps, guard.place, gathers=True)
    return None


def _stepped_at_once(backward: Event, steps: list[Event]) -> bool:
    """Is the next step one that follows every time, of another optimizer than the gate's?"""
    following = [
        step
        for step in steps
        if step.place.path == backward.place.path and step.place.span.start > backward.place.span.start
    ]
    if not following or _is_engine(backward.driver):
        return False
    first = min(following, key=lambda step: step.place.span)
    return set(first.guards) <= set(backward.guards) and not _is_engine(first.driver)


def _stepped_otherwise(gate: Guard, steps: Sequence[Event]) -> bool:
    """Does an optimizer step on the other branch too? Then some parameters are stepped more often than every window."""
    return any(
        guard.place == gate.place and guard.outcome is not gate.outcome for step in steps for guard in step.guards
    )


def _boundary(guards: Iterable[Guard], outer: Sequence[Guard]) -> tuple[Guard, Boundary] | None:
    """The modulo test that a step stands under and backward does not."""
    for guard in guards:
        if isinstance(guard.test, Boundary) and guard.test.negated is not guard.outcome and guard not in outer:
            return guard, guard.test
    return None


def _is_engine(value: Value) -> bool:
    return any(isinstance(one, Model) and one.engine for one in alternatives(value))


def _window(
    run: Interpreter,
    backward: Event,
    shape: Shape,
    losses: Sequence[Loss],
    distributed: Stack | None,
) -> Window:
    (step, idiom, rounds, gate, gathered), loop = shape, backward.loops[-1]
    stack, library, traced = _stack(run, backward, idiom, rounds, distributed)
    text, value = _steps(backward, shape, library, traced)
    return Window(
        idiom=idiom,
        stack=stack,
        steps=text,
        steps_value=value,
        gate=gate,
        loop=loop.body,
        backward=backward.place,
        caller=_caller(backward),
        handed_over=backward.value_place,
        handed_over_text=backward.value_text,
        optimizer_step=step.place,
        losses=tuple(dict.fromkeys(loss.terms for loss in losses)),
        added=tuple(dict.fromkeys(place for loss in losses for place in loss.added)),
        library=library,
        scope=backward.scope,
        function=backward.function,
        trivial=rounds == Const(1),
        driver=backward.driver_text,
        fetch=loop.fetch if "range(" in loop.rounds_text else None,
        added_up=(idiom is Idiom.INNER_LOOP and gate is None) or gathered,
        steps_by_engine=bool(step.driver_text) and step.driver_text == backward.driver_text,
        scalings=scalings_of(backward, run.events),
        at_end=idiom is Idiom.GATE and _opens_at_end(step, gate),
        stepped_behind=idiom is Idiom.GATE and stepped_behind(backward, step, run.events),
        cleared=_cleared(run, backward, step, idiom) if not gathered else None,
        traced_steps=traced,
        runs_over=runs_over(backward, gate) if idiom is Idiom.INNER_LOOP else "",
    )


def _steps(backward: Event, shape: Shape, library: LibraryDivision, traced: str) -> tuple[str, float | None]:
    """How many micro-batches: as the loop can write it, and as a number."""
    text = written_steps(backward, shape.step, shape.gate) or traced
    value = steps_of(shape.rounds)[1]
    if not text and library.answer is Answer.YES:
        text, value = library.steps, library.steps_value
    if not text and shape.idiom is Idiom.INNER_LOOP:
        text = next(one.rounds_text for one in backward.loops if one.place == shape.gate)
    return text, value


def _caller(backward: Event) -> Place:
    """Where the loop's file comes to backward: the call of a helper in another file, or backward itself."""
    path = backward.loops[-1].place.path
    calls = [place for place in backward.via if place.path == path]
    return calls[-1] if calls and backward.place.path != path else backward.place


def _stack(
    run: Interpreter, backward: Event, idiom: Idiom, rounds: Value, distributed: Stack | None
) -> tuple[Stack, LibraryDivision, str]:
    """Who runs the loop and may divide by itself, and the steps as they were followed to where they are set."""
    stack, library = stack_and_division(run, backward, idiom)
    if stack is Stack.RAW and distributed is not None:
        stack = distributed
    traced, _ = steps_of(rounds)
    traced = "" if traced.startswith("range(") else traced  # what is iterated over, and no number
    told = backward.undivided or library.answer is Answer.YES
    if "deepspeed" in traced and not told:  # the engine's own number, so the engine divides
        stack, library = Stack.DEEPSPEED, LibraryDivision(Answer.YES, by="the DeepSpeed engine")
    return stack, library, traced


def _cleared(run: Interpreter, backward: Event, step: Event, idiom: Idiom) -> Place | None:
    if idiom is Idiom.ACCUMULATE:
        return None if holds_engine(run, backward) else cleared_inside(backward, run.events)
    return cleared_before(backward, step, run.events) if idiom is Idiom.GATE else None


def _opens_at_end(step: Event, gate: Place | None) -> bool:
    return any(isinstance(g.test, Boundary) and g.test.at_end and g.place == gate for g in step.guards)
