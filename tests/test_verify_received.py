"""Is what came out of a process that ran other people's code taken for what it says it is? Only if it fits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

import pytest

from ga_lint.verify.job import Answer, Envelope, Job, Measurement
from ga_lint.verify.received import received
from ga_lint.verify.sweep import Sweep

JOB = Job("a.py", "loop", "", 1, "", None, None, None, withheld=False, seed=0, dtype="float64", timeout=1.0)


@dataclass(frozen=True)
class Sample:
    name: str
    error: float = 0.0
    pair: tuple[str, float] = ("", 0.0)
    many: tuple[Measurement, ...] = ()
    table: dict[str, list[float]] | None = None


def test_what_was_written_is_read() -> None:
    sample = Sample("a", 1.5, ("b", 2.0), (Measurement("R0", "s", 1e-16),), {"c": [1.0, 2.0]})
    assert received(Sample, json.loads(json.dumps(asdict(sample)))) == sample
    answer = Answer((Measurement("R0", ""),), ("assumed",), equal="so")
    assert Answer.from_json(answer.to_json()) == answer
    assert received(Sample, {"name": "a", "error": 1}).error == 1.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"name": 3},
        {"name": "a", "error": True},
        {"name": "a", "error": "0"},
        {"name": "a", "pair": ["b"]},
        {"name": "a", "pair": [1.0, "b"]},
        {"name": "a", "many": [{"name": "R0"}]},
        {"name": "a", "many": {"name": "R0", "setting": ""}},
        {"name": "a", "table": {"c": 1.0}},
        {"name": "a", "surprise": 1},
    ],
)
def test_what_does_not_fit_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        received(Sample, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 500,
        "3",
        '{"measurements": 3}',
        '{"missing": []}',
    ],
)
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Answer.from_json(text)


def test_an_answer_begins_with_the_control_or_says_why_not() -> None:
    assert Answer((Measurement("R0", ""),)).is_whole(JOB)
    assert Answer(missing="a thing").is_whole(JOB)
    for found in ((), (Measurement("R1", ""),), (Measurement("R0", "", failure="it"),)):
        assert not Answer(found).is_whole(JOB)


def test_the_answer_to_a_sweep_is_a_sweep_and_to_nothing_else() -> None:
    swept, measured = Answer(sweep=Sweep()), Answer((Measurement("R0", ""),))
    asked = replace(JOB, sweep=True)
    assert swept.is_whole(asked) and Answer(missing="a thing").is_whole(asked)
    assert not measured.is_whole(asked) and not swept.is_whole(JOB)


def test_envelopes() -> None:
    envelope = Envelope(3, "line\nline")
    assert Envelope.from_line(envelope.to_line()) == envelope
    assert envelope.to_line().count(b"\n") == 1
