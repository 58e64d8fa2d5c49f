"""What is known of a window's end behind an `if`? A flag that its branches set, a test that they all have passed."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from msgspec.structs import replace

from ga_lint.facts.interpreter.events import Guard
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.values import Boundary, Const, Value
from ga_lint.syntax.walk import walk

Body = list[ast.stmt]


def flag(test: Value, one: Value, two: Value) -> Boundary | None:
    """`True if (i + 1) % steps == 0 else False`: the test by another name, however many other cases are set apart."""
    ends = [value for value in (one, two) if isinstance(value, Boundary)]
    if ends and all(isinstance(value, Boundary) or _is_flag(value) for value in (one, two)):
        return ends[0]
    if isinstance(test, Boundary) and _is_flag(one) and _is_flag(two) and one != two:
        return test if one == Const(True) else replace(test, negated=not test.negated)
    return None


def settle_flags(frame: Frame, test: Value, taken: list[State], skipped: list[State], ways: tuple[Body, Body]) -> None:
    """After an `if`: what is a flag on both of its ways becomes the test for a window's end, where it is one."""
    for name, value in taken[0].env.items():
        other = skipped[0].env.get(name)
        if value is other or other is None or not (_tells(value) and _tells(other)):
            continue
        one, two = _agreed(name, taken), _agreed(name, skipped)
        found = flag(test, one, two) if one is not None and two is not None else None
        if found is not None and _is_set_anew(frame, name, ways):
            for state in (*taken, *skipped):
                state.env[name] = found


def held_on_all(paths: list[State], outer: int) -> tuple[Guard, ...]:
    """The tests for a window's end that every path has passed: `if done < steps: continue`, on both branches."""
    if len(paths[0].guards) == outer + 1:  # nothing but the test itself
        return ()
    passed = [[guard for guard in path.guards[outer:] if isinstance(guard.test, Boundary)] for path in paths]
    return tuple(
        guard
        for guard in passed[0]
        if all(any((one.test, one.outcome) == (guard.test, guard.outcome) for one in ones) for ones in passed[1:])
    )


def answered(frame: Frame) -> Boundary | None:
    """What a helper tells that answers yes and no: `if (i + 1) % steps == 0: return True`, `return False` elsewhere."""
    if len(frame.returned) < 2 or not all(map(_tells, frame.returned)):
        return None
    found = {one for one in frame.returned if isinstance(one, Boundary)}
    sides: dict[Boundary, dict[bool, set[Value]]] = {}
    for value, guards in zip(frame.returned, frame.returned_under, strict=True):
        for guard in guards:
            if isinstance(guard.test, Boundary):
                sides.setdefault(guard.test, {}).setdefault(guard.outcome, set()).add(value)
    for test, values in sides.items():
        at_end = values.get(True, set())
        if len(at_end) == 1 and Const(next(iter(at_end)) == Const(False)) in values.get(False, set()):
            found.add(test if at_end == {Const(True)} else replace(test, negated=not test.negated))
    return found.pop() if len(found) == 1 else None


def _is_set_anew(frame: Frame, name: str, ways: tuple[Body, Body]) -> bool:
    """Is it set on both ways, or by each round of the loop? One that stays as it was tells no window's end."""
    if len(frame.loops) == frame.inherited or name in frame.loops[-1].assigned:
        return True
    return all(
        any(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name for node in walk(one))
        for way in ways
        for one in [ast.Module(way, [])]
    )


def _agreed(name: str, states: Iterable[State]) -> Value | None:
    """What the flag is on all of these paths."""
    values = {state.env.get(name) for state in states}
    return values.pop() if len(values) == 1 else None


def _tells(value: Value) -> bool:
    return isinstance(value, Boundary) or _is_flag(value)


def _is_flag(value: Value) -> bool:
    return isinstance(value, Const) and isinstance(value.value, bool)
