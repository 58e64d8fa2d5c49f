"""Do the measurements behind a report's pictures travel whole, and are their rows what they are said to be?"""

from __future__ import annotations

import json
import math

import pytest

from ga_lint.verify.job import Answer
from ga_lint.verify.sweep import SKEWS, STEPS, variation
from testbed.verdicts import SWEEP


def test_a_sweep_travels_as_json() -> None:
    found = Answer.from_json(Answer(sweep=SWEEP).to_json()).sweep
    assert found is not None
    assert found.steps == SWEEP.steps and found.parameters == SWEEP.parameters
    assert math.isnan(found.skew[1].rewrite or 0.0)
    assert Answer.from_json(Answer().to_json()).sweep is None


@pytest.mark.parametrize(
    "fields",
    [
        {"surprise": []},
        {"parameters": 1, "steps": [], "skew": []},
        {"parameters": [], "steps": ["x"], "skew": []},
        {"parameters": [], "steps": [{"value": "x", "original": 0, "rewrite": 0, "failure": None}], "skew": []},
        {
            "parameters": [{"name": "w", "norm": 1, "original": 1, "rewrite": 1, "entries": [[1]]}],
            "steps": [],
            "skew": [],
        },
        {"parameters": [], "steps": [{"value": 1, "original": [], "rewrite": 0, "failure": None}], "skew": []},
    ],
)
def test_what_user_code_could_send_instead_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Answer.from_json(json.dumps({"sweep": fields}))


def test_windows_get_ever_more_uneven() -> None:
    spreads = [variation(counts) for counts in SKEWS]
    assert spreads[0] == 0 and spreads == sorted(spreads)
    assert {sum(counts) for counts in SKEWS} == {32}


@pytest.mark.slow
def test_rows_hold_the_counts_that_were_asked_for() -> None:
    pytest.importorskip("torch")
    from ga_lint.verify.worker.harness import data
    from ga_lint.verify.worker.sweep import WINDOWS, rows_for, skewed_rows

    for counts in SKEWS:
        rows = skewed_rows(counts, seed=0)
        held = [int((row.labels[1:] != data.IGNORE).sum()) for row in rows]
        windows = [held[start : start + 4] for start in range(0, len(held), 4)]
        assert len(windows) == WINDOWS
        assert all(sorted(window) == sorted(counts) for window in windows)
        assert max(len(row.ids) for row in rows) <= data.LONGEST
        assert len({tuple(row.ids.tolist()) for row in rows}) == len(rows)  # loops tell rows apart by their tokens
    for steps in STEPS:
        rows = rows_for(steps, seed=0)
        assert len(rows) >= 3 * steps + steps // 2
        assert [row.ids.tolist() for row in rows[:16]] == [row.ids.tolist() for row in data.rows(True, 0)]
