"""What follows from measured numbers? The verdict table, without torch."""

from __future__ import annotations

import pytest

from ga_lint.api import check_source
from ga_lint.cli.confirm import as_judged
from ga_lint.verify import site_at
from ga_lint.verify.job import Answer, Measurement
from ga_lint.verify.judge import judge
from ga_lint.verify.model import Outcome, Verdict
from testbed.fixtures import FIXTURES

R0, R1, R2, R3 = (Measurement(name, "", 1e-16) for name in ("R0", "R1", "R2", "R3"))
R1_DIFFERS = Measurement("R1", "", 0.5, 0.9, "head.weight")


def outcome(*runs: Measurement, rewritten: bool = False, raises: str | None = None, dtype: str = "float64") -> Outcome:
    return judge(Answer(runs, raises=raises, dtype=dtype), rewritten).outcome


def test_invariant_original_is_correct() -> None:
    assert outcome(R0, R1) is Outcome.CORRECT
    assert outcome(R0, R1, R2, R3, rewritten=True) is Outcome.CORRECT


def test_equal_counts_need_no_second_run() -> None:
    assert outcome(R0) is Outcome.CORRECT


def test_original_that_differs_is_wrong() -> None:
    assert outcome(R0, R1_DIFFERS) is Outcome.WRONG


@pytest.mark.parametrize(("scale", "word"), [(4.0, "missing"), (0.25, "twice")])
def test_exactly_the_steps_is_a_division(scale: float, word: str) -> None:
    judgement = judge(Answer((Measurement("R0", "", abs(scale - 1), scale), R1_DIFFERS)), False)
    assert judgement.outcome is Outcome.MISSING_DIVISION
    assert judgement.reason is not None and word in judgement.reason


@pytest.mark.parametrize(("error", "scale"), [(1.0, 2.0), (3.2, 4.0), (0.02, 1.0), (float("nan"), float("nan"))])
def test_a_control_that_fails_otherwise_proves_nothing(error: float, scale: float) -> None:
    assert outcome(Measurement("R0", "", error, scale), R1_DIFFERS, R2, R3, rewritten=True) is Outcome.INCONCLUSIVE


def test_right_rewrite_of_a_wrong_original_is_confirmed() -> None:
    assert outcome(R0, R1_DIFFERS, R2, R3, rewritten=True) is Outcome.CONFIRMED


@pytest.mark.parametrize("name", ["R2", "R3"])
@pytest.mark.parametrize("error", [0.02, 5.0, float("nan"), float("inf")])
def test_rewrite_that_differs_is_refuted(name: str, error: float) -> None:
    runs = [R0, R1_DIFFERS, *(r for r in (R2, R3) if r.name != name), Measurement(name, "", error, 1.0, "head.weight")]
    judgement = judge(Answer(tuple(runs)), True)
    assert judgement.outcome is Outcome.REFUTED
    assert judgement.reason is not None and judgement.reason.startswith(name) and "head.weight" in judgement.reason


def test_short_last_window_refutes_too() -> None:
    short = Measurement("R2", "short last window", 0.5, 0.5)
    assert outcome(R0, R1_DIFFERS, R2, short, R3, rewritten=True) is Outcome.REFUTED


def test_a_short_last_window_alone_is_mended() -> None:
    """GA108: where the scale alone is asked for, the window that was off before has to be right."""
    off, right = Measurement("R0", "short last window", 0.5, 0.5), Measurement("R2", "short last window")
    assert outcome(R0, off, R2, right, R3, rewritten=True) is Outcome.CONFIRMED
    still = Measurement("R2", "short last window", 0.5, 0.5)
    assert outcome(R0, off, R2, still, R3, rewritten=True) is Outcome.REFUTED
    unclear = Measurement("R2", "short last window", 1e-4)
    assert outcome(R0, off, R2, unclear, R3, rewritten=True) is Outcome.INCONCLUSIVE
    assert outcome(R0, R1, off, R2, right, R3, rewritten=True) is Outcome.CORRECT


def test_neither_noise_nor_a_difference_is_inconclusive() -> None:
    assert outcome(R0, Measurement("R1", "", 1e-4)) is Outcome.INCONCLUSIVE
    assert outcome(R0, R1_DIFFERS, Measurement("R2", "", 1e-4), R3, rewritten=True) is Outcome.INCONCLUSIVE


def test_float32_has_its_own_tolerance() -> None:
    assert outcome(R0, Measurement("R1", "", 5e-6)) is Outcome.INCONCLUSIVE
    assert outcome(R0, Measurement("R1", "", 5e-6), dtype="float32") is Outcome.CORRECT


def test_without_a_count_the_rewrite_may_stay_as_wrong_as_the_original() -> None:
    other = [Measurement("R0", "no count"), Measurement("R1", "no count", 0.7), Measurement("R2", "no count", 0.7)]
    assert outcome(R0, R1_DIFFERS, R2, R3, *other, rewritten=True) is Outcome.CONFIRMED
    right_before = [Measurement("R0", "no count"), Measurement("R1", "no count"), Measurement("R2", "no count", 0.7)]
    assert outcome(R0, R1_DIFFERS, R2, R3, *right_before, rewritten=True) is Outcome.REFUTED


def test_rewrite_that_fails_is_refuted() -> None:
    failed = Measurement("R2", "no count", failure="TypeError: unsupported operand")
    judgement = judge(Answer((R0, R1_DIFFERS, R2, R3, failed)), True)
    assert judgement.outcome is Outcome.REFUTED
    assert judgement.reason is not None and "TypeError" in judgement.reason


def test_override_that_raises_is_wrong_whatever_its_numbers() -> None:
    assert outcome(R0, R1, raises="TypeError") is Outcome.WRONG
    assert outcome(R0, R1, R2, R3, raises="TypeError", rewritten=True) is Outcome.CONFIRMED


def test_unnamed_head_decides_nothing() -> None:
    other = [Measurement("R0", "per-example head"), Measurement("R1", "per-example head")]
    assert outcome(R0, R1_DIFFERS, *other) is Outcome.INCONCLUSIVE
    wrong_too = [Measurement("R0", "per-example head"), Measurement("R1", "per-example head", 0.4)]
    assert outcome(R0, R1_DIFFERS, *wrong_too) is Outcome.WRONG


def test_what_is_missing_is_the_reason() -> None:
    judgement = judge(Answer(missing="needs `x`"), True)
    assert (judgement.outcome, judgement.reason, judgement.runs) == (Outcome.NOT_VERIFIABLE, "needs `x`", ())


@pytest.mark.parametrize(("run", "wanted"), [("R3", Outcome.INCONCLUSIVE), ("R2", Outcome.REFUTED)])
@pytest.mark.parametrize(
    "name", ["GA214-mismatched-num-items/rescaled_by_rows", "GA106-mismatched-count/numel_of_a_scalar"]
)
def test_an_objective_that_is_mended_does_change(name: str, run: str, wanted: Outcome) -> None:
    """GA106, GA214: the code has another objective than the mean over targets, with or without accumulation."""
    path = FIXTURES / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    finding = check_source(text, path)[0].finding
    site = site_at(path, text, finding.span.start.row)
    assert site is not None
    verdict = Verdict(site, Outcome.REFUTED, reason=f"{run}: the objective changed")
    assert as_judged(finding, verdict).outcome is wanted


def test_full_windows_do_not_clear_a_short_one() -> None:
    """GA108: a step behind the loop is not reached when the loop is run alone."""
    path = FIXTURES / "GA108-constant-partial-window" / "step_behind_the_loop.py"
    text = path.read_text(encoding="utf-8")
    finding = check_source(text, path)[0].finding
    site = site_at(path, text, finding.span.start.row)
    assert site is not None
    verdict = as_judged(finding, Verdict(site, Outcome.CORRECT))
    assert verdict.outcome is Outcome.INCONCLUSIVE and "short last window" in (verdict.reason or "")
