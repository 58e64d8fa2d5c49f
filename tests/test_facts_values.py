"""When are two paths one, and of how many values is a choice made?"""

from __future__ import annotations

import pytest

from ga_lint.facts.interpreter.paths import MAX_PATHS, State, joined
from ga_lint.facts.model import Counted
from ga_lint.facts.values import (
    COUNT,
    MAX_CHOICES,
    NO_COUNT,
    UNKNOWN,
    Boundary,
    Choice,
    Const,
    Count,
    Items,
    Product,
    Scale,
    Symbol,
    Table,
    Value,
    choice,
    is_missing_count,
    matters,
)
from ga_lint.facts.values.containers import MAX_FILLED
from testbed.seen import loop, losses_in

NUMBERS = [Const(number) for number in range(MAX_CHOICES + 1)]
ONE = Count("labels", Scale.MICRO_BATCH)


@pytest.mark.parametrize(
    ("values", "made"),
    [
        ([], UNKNOWN),
        ([ONE], ONE),
        ([ONE, ONE], ONE),
        ([ONE, UNKNOWN], Choice((ONE, UNKNOWN))),
        ([ONE, Choice((UNKNOWN, ONE))], Choice((ONE, UNKNOWN))),
        (NUMBERS[:-1], Choice(tuple(NUMBERS[:-1]))),
        (NUMBERS, UNKNOWN),
        ([*NUMBERS, ONE], Choice((ONE,))),
    ],
)
def test_choices(values: list[Value], made: Value) -> None:
    assert choice(values) == made


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (ONE, True),
        (Boundary(UNKNOWN), True),
        (Const("mean"), True),
        (Const("sum"), True),
        (Const("none"), True),
        (Const("other"), False),
        (Product(((Const(2), "2", 1), (ONE, "n", -1))), True),
        (Product(((Const(2), "2", 1),)), False),
        (Items((UNKNOWN, ONE)), True),
        (Choice((UNKNOWN, ONE)), True),
        (Items((UNKNOWN,)), False),
        (Table((("n", ONE),)), False),
        (Symbol("steps"), False),
        (UNKNOWN, False),
    ],
)
def test_what_keeps_paths_apart(value: Value, outcome: bool) -> None:
    assert matters(value) is outcome


@pytest.mark.parametrize(
    ("left", "right", "paths"),
    [
        ({"n": ONE}, {"n": ONE}, 1),
        ({"n": ONE}, {"n": UNKNOWN}, 2),
        ({"n": ONE}, {}, 2),
        ({}, {"n": ONE}, 2),
        ({"n": Const(1)}, {"n": Const(2)}, 1),
        ({"n": Const(1)}, {}, 1),
        ({}, {"n": Const(1)}, 1),
    ],
)
def test_paths_are_joined(left: dict[str, Value], right: dict[str, Value], paths: int) -> None:
    states = joined([State(dict(left)), State(dict(right))])
    assert len(states) == paths
    if paths == 1:
        assert states[0].env.keys() == left.keys() | right.keys()


def test_what_differs_and_does_not_matter_is_a_choice() -> None:
    (state,) = joined([State({"n": Const(1)}), State({"n": Const(2)})])
    assert state.env["n"] == Choice((Const(1), Const(2)))


def test_paths_have_an_end() -> None:
    states = [State({"n": Count(str(number), Scale.WINDOW)}) for number in range(MAX_PATHS + 2)]
    assert len(joined(states)) == MAX_PATHS


def test_tables() -> None:
    table = Table((("a", Const(1)),), rest=ONE)
    assert (table.get("a"), table.get("b")) == (Const(1), ONE)
    assert table.put("a", Const(2)).entries == (("a", Const(2)),)
    assert table.put("b", Const(2)).get("a") == Const(1)
    full = Table(tuple((str(number), UNKNOWN) for number in range(MAX_FILLED)))
    assert full.put("a", ONE).entries == (("a", ONE),)
    assert len(Table(full.entries[1:]).put("a", ONE).entries) == MAX_FILLED


def test_missing_counts() -> None:
    assert is_missing_count(NO_COUNT)
    assert not is_missing_count(Const(None)) and not is_missing_count(Const(1, COUNT))
    assert Count(COUNT, Scale.GLOBAL).is_trainers and not ONE.is_trainers


def test_counted_targets_are_compared_by_all_that_they_say() -> None:
    assert len({Counted("a"), Counted("a", "-100"), Counted("a", shifted=True), Counted("b")}) == 4


@pytest.mark.parametrize(
    ("depth", "body", "followed"),
    [
        (7, "found = {inner}\n    return found", True),
        (8, "found = {inner}\n    return found", False),
        (20, "return {inner}", True),  # who only hands on takes nobody deeper
        (200, "return {inner}", False),
    ],
)
def test_helpers_are_followed_to_a_depth(depth: int, body: str, followed: bool) -> None:
    helpers = [f"def f{n}(a, b):\n    {body.format(inner=f'f{n - 1}(a, b)')}\n" for n in range(1, depth)]
    above = "\n".join(["def f0(a, b):\n    return F.cross_entropy(a, b)\n", *helpers])
    text = loop(f'loss = f{depth - 1}(batch["x"], batch["labels"])', above)
    assert losses_in(text) == (["mean unknown"] if followed else [])


def test_a_function_that_calls_itself_is_followed_once() -> None:
    above = "def f(a, b, n):\n    if n:\n        return f(a, b, n - 1)\n    return F.cross_entropy(a, b)\n"
    assert losses_in(loop('loss = f(batch["x"], batch["labels"], args.n)', above)) == ["mean unknown"]
