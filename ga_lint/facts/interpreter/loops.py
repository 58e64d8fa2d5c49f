"""What does a loop do to a path? Its body is followed once, as the first round of many."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import algebra, assignments
from ga_lint.facts.interpreter.elements import element_of
from ga_lint.facts.interpreter.events import Loop
from ga_lint.facts.interpreter.paths import Frame, State, joined
from ga_lint.facts.values import UNKNOWN, Choice, Const, Count, Items, Loss, Many, Scale, Value, alternatives, choice
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


_GATHERING = Count | Many | Loss | Choice  # what a loop may sum up or gather, or one of several that it may


def follow_for(run: Interpreter, frame: Frame, state: State, node: ast.For | ast.AsyncFor) -> list[State]:
    source = run.evaluate(frame, state, node.iter)
    rounds, text = _rounds(source, node.iter)
    element = element_of(run, frame, source, node.target)
    if not _is_entries(node.iter):
        element = assignments.named(element, node.target)
    assignments.forget_parts(state, node.target)
    assignments.assign(run, frame, state, node.target, element)
    return _loop(run, frame, state, node, source, rounds, text)


def _is_entries(node: ast.expr) -> bool:
    """`for key, value in batch.items()`: parts of the micro-batch that keep its name."""
    match node:
        case ast.Call(func=ast.Attribute(attr="items" | "values"), args=[]):
            return True
    return False


def follow_while(run: Interpreter, frame: Frame, state: State, node: ast.While) -> list[State]:
    run.evaluate(frame, state, node.test)
    return _loop(run, frame, state, node, UNKNOWN, UNKNOWN, "")


def _loop(
    run: Interpreter,
    frame: Frame,
    state: State,
    node: ast.For | ast.AsyncFor | ast.While,
    source: Value,
    rounds: Value,
    rounds_text: str,
) -> list[State]:
    header = node.iter if isinstance(node, ast.For | ast.AsyncFor) else node.test
    drawn = node.body[0] if isinstance(node.body[0], ast.Assign) else None
    fetch = run.place(frame, drawn) if drawn is not None else None
    drawn_to = _names_in(node.target) if isinstance(node, ast.For | ast.AsyncFor) else ()
    assigned = frozenset((*drawn_to, *_assigned(node.body)))
    place, whole = run.place(frame, header), run.place(frame, node)
    loop = Loop(run.new_loop_id(), place, whole, source, rounds, rounds_text, fetch, assigned)
    outer_guards, broken, continued = state.guards, frame.broken, frame.continued
    frame.broken, frame.continued, frame.loops = [], [], (*frame.loops, loop)
    paths = run.execute(frame, node.body, [state])
    frame.loops = frame.loops[:-1]
    paths = joined(paths + frame.continued + frame.broken)
    frame.broken, frame.continued = broken, continued
    for path in paths:
        path.guards = outer_guards
        for name, value in path.env.items():
            if isinstance(value, _GATHERING):
                path.env[name] = choice([_when_done(one, loop.id, len(frame.loops)) for one in alternatives(value)])
    return run.execute(frame, node.orelse, joined(paths)) if node.orelse else joined(paths)


def _when_done(value: Value, loop: int, depth: int) -> Value:
    """What the rounds have summed up or gathered, after the last of them; `depth`: the loops that still run."""
    match value:
        case Count(loop=own) if own == loop:
            return replace(value, scale=Scale.WINDOW, loop=0)
        case Many(element=element, loop=own) if own == loop:
            return replace(value, element=algebra.gathered(element, depth), loop=0)
        case Loss(terms=terms) if any(term.site.collected == loop for term in terms):
            return algebra.gathered(value, depth)
    return value


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    """What each round starts anew; `total = total + x` goes on with what it was."""
    for statement in body:
        if isinstance(statement, ast.Assign) and assignments.as_augmented(statement) is None:
            for target in statement.targets:
                yield from _names_in(target)


def _names_in(target: ast.expr) -> Iterator[str]:
    """`step`, and what stands behind it in `for step, (ids, labels) in ...`."""
    for part in target.elts if isinstance(target, ast.Tuple | ast.List) else ():
        yield from _names_in(part)
    if not isinstance(target, ast.Tuple | ast.List):
        yield text_of(target)


def _rounds(source: Value, node: ast.expr) -> tuple[Value, str]:
    for one in alternatives(source):
        if isinstance(one, Many) and one.steps is not None:
            return one.steps, text_of(node)
        if isinstance(one, Items) and one.values:  # an empty list is one that fills up where that is not followed
            return Const(len(one.values)), text_of(node)
    return UNKNOWN, text_of(node)
