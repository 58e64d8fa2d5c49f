"""What follows from measured numbers? The verdict table, without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.api import check_source
from ga_lint.cli.judged import as_judged
from ga_lint.report.verdicts import numbers
from ga_lint.verify import site_at
from ga_lint.verify.job import Answer, Measurement
from ga_lint.verify.judge import judge
from ga_lint.verify.model import Outcome, Run, Site, SiteKind, Verdict
from ga_lint.verify.runs import COUNT_PASSED, HEAD_GUESSED, OTHER_HEAD
from testbed.fixtures import FIXTURES

R0, R1, R2, R3 = (Measurement(name, "", 1e-16) for name in ("R0", "R1", "R2", "R3"))
R1_DIFFERS = Measurement("R1", "", 0.5, 0.9, "head.weight")
R0_OPEN = Measurement("R0", f"{OTHER_HEAD}token", 1e-16)


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


R4 = Measurement("R4", "", 1e-16)
CONTROL = Measurement("R0", "2 ranks", 1e-16)
STACK = "DDP averages the gradients"


def on_ranks(*runs: Measurement, rewritten: bool) -> tuple[Outcome, str]:
    judgement = judge(Answer(runs, stack=STACK), rewritten)
    return judgement.outcome, judgement.reason or ""


def test_distributed_code_is_confirmed_on_ranks_alone() -> None:
    assert on_ranks(R0, R1_DIFFERS, R2, R3, R4, rewritten=True)[0] is Outcome.CONFIRMED
    outcome_without, reason = on_ranks(R0, R1_DIFFERS, R2, R3, rewritten=True)
    assert (outcome_without, "R4" in reason) == (Outcome.INCONCLUSIVE, True)


@pytest.mark.parametrize(
    ("error", "scale", "word"),
    [
        (0.5, 0.5, "2 times too small: the number of ranks is missing"),
        (1.0, 2.0, "2 times too large"),
        (0.6, 1.1, "relative error 0.6;"),
    ],
)
def test_a_rewrite_that_is_wrong_on_ranks_is_refuted(error: float, scale: float, word: str) -> None:
    found, reason = on_ranks(
        R0, R1_DIFFERS, R2, R3, Measurement("R4", "", error, scale, "head.weight"), CONTROL, rewritten=True
    )
    assert found is Outcome.REFUTED
    assert reason.startswith("R4: on 2 ranks") and word in reason
    assert "head.weight" in reason and "allowed 1e-06" in reason


@pytest.mark.parametrize(
    "control",
    [Measurement("R0", "2 ranks", 0.3, 1.1), Measurement("R0", "2 ranks", failure="TypeError"), None],
)
def test_ranks_whose_control_fails_prove_nothing(control: Measurement | None) -> None:
    runs = [R0, R1_DIFFERS, R2, R3, Measurement("R4", "", 0.5, 0.5), *([control] if control else [])]
    assert on_ranks(*runs, rewritten=True)[0] is Outcome.INCONCLUSIVE
    alone = [R0, R1, Measurement("R4", "", 0.5, 0.5), *([control] if control else [])]
    assert on_ranks(*alone, rewritten=False)[0] is Outcome.INCONCLUSIVE


def test_a_control_may_be_off_by_whole_factors() -> None:
    """An original without its rank factor, or its division, shows that with equal counts too."""
    control = Measurement("R0", "2 ranks", 7.0, 8.0)
    wrong = Measurement("R4", "", 0.5, 0.5, "head.weight")
    assert on_ranks(R0, R1_DIFFERS, R2, R3, wrong, control, rewritten=True)[0] is Outcome.REFUTED


def test_rewrite_that_fails_on_ranks_is_refuted_where_the_original_runs() -> None:
    failed = Measurement("R4", "", failure="Apart: rank 1 waits in all_reduce")
    found, reason = on_ranks(R0, R1_DIFFERS, R2, R3, failed, CONTROL, rewritten=True)
    assert found is Outcome.REFUTED and "rank 1 waits" in reason
    neither = Measurement("R0", "2 ranks", failure="needs `mesh`")
    assert on_ranks(R0, R1_DIFFERS, R2, R3, failed, neither, rewritten=True)[0] is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("rewritten", [False, True])
def test_what_is_neither_noise_nor_a_difference_on_ranks_decides_nothing(rewritten: bool) -> None:
    runs = (R0, R1_DIFFERS, R2, R3) if rewritten else (R0, R1)
    found, reason = on_ranks(*runs, Measurement("R4", "", 1e-4), CONTROL, rewritten=rewritten)
    assert found is Outcome.INCONCLUSIVE
    assert "R4: relative error 0.0001 is neither noise" in reason


def test_an_original_that_is_right_in_one_process_may_be_wrong_on_ranks() -> None:
    half = Measurement("R4", "", 0.5, 0.5)
    found, reason = on_ranks(R0, R1, half, CONTROL, rewritten=False)
    assert found is Outcome.WRONG and "not on 2 ranks" in reason
    before = Measurement("R4", "original", 0.5, 0.5)
    assert on_ranks(R0, R1, R2, R3, R4, before, CONTROL, rewritten=True)[0] is Outcome.CONFIRMED
    assert on_ranks(R0, R1, R2, R3, R4, Measurement("R4", "original"), rewritten=True)[0] is Outcome.CORRECT


def test_an_original_that_cannot_be_run_on_ranks_says_so() -> None:
    failed = Measurement("R4", "", failure="needs `mesh`")
    found, reason = on_ranks(R0, R1, failed, failed, rewritten=False)
    assert found is Outcome.CORRECT and "could not be run: needs `mesh`" in reason


def test_another_objective_is_refuted_whatever_the_control() -> None:
    changed = Measurement("R3", "", 0.3, 1.0, "head.weight")
    assert outcome(Measurement("R0", "", 0.5, 1.2), R1_DIFFERS, R2, changed, rewritten=True) is Outcome.REFUTED


def test_the_numbers_show_both_sides_on_ranks() -> None:
    site = Site(Path("train.py"), SiteKind.LOOP, "", 1, "")
    runs = [Run("R1", "", 1e-16, 1, "w", 1e-6), Run("R4", "", 2e-16, 1, "w", 1e-6)]
    before = Run("R4", "original", 0.5, 0.5, "w", 1e-6)
    assert numbers(Verdict(site, Outcome.CONFIRMED, (*runs, before))) == "R1 1e-16, R4 2e-16, R4 of the original 0.5"


def test_a_fault_of_the_ranks_is_cleared_on_ranks_alone() -> None:
    path = FIXTURES / "GA105-missing-world-factor" / "distributed_window.py"
    text = path.read_text(encoding="utf-8")
    finding = next(d.finding for d in check_source(text, path) if d.finding.code == "GA105")
    site = Site(path, SiteKind.LOOP, "", 1, text)
    assert as_judged(finding, Verdict(site, Outcome.CORRECT)).outcome is Outcome.INCONCLUSIVE
    on_two = (Run("R4", "", 1e-16, 1, "w", 1e-6),)
    assert as_judged(finding, Verdict(site, Outcome.CORRECT, on_two)).outcome is Outcome.CORRECT


def test_full_windows_do_not_clear_a_short_one() -> None:
    """GA108: a step behind the loop is not reached when the loop is run alone."""
    path = FIXTURES / "GA108-constant-partial-window" / "step_behind_the_loop.py"
    text = path.read_text(encoding="utf-8")
    finding = check_source(text, path)[0].finding
    site = site_at(path, text, finding.span.start.row)
    assert site is not None
    verdict = as_judged(finding, Verdict(site, Outcome.CORRECT))
    assert verdict.outcome is Outcome.INCONCLUSIVE and "short last window" in (verdict.reason or "")


SHORT_OFF = Measurement("R0", "short last window", 0.5, 0.5)


@pytest.mark.parametrize(
    ("runs", "equal", "said"),
    [
        ((R0,), "rows are cut to one length", "rows are cut to one length"),
        ((R0, SHORT_OFF), "rows are cut to one length", "only the gradient of the short last window is off: 0.5 times"),
        ((R0, R1, SHORT_OFF), None, "only the gradient of the short last window is off: 0.5 times"),
        ((R0, R1, Measurement("R0", "short last window")), None, ""),
    ],
)
def test_what_is_right_says_what_it_rests_on(runs: tuple[Measurement, ...], equal: str | None, said: str) -> None:
    judgement = judge(Answer(runs, equal=equal), False)
    assert judgement.outcome is Outcome.CORRECT
    assert (judgement.reason or "").startswith(said) and bool(judgement.reason) == bool(said)


def test_a_head_that_is_not_named_matters_only_where_the_original_is_off() -> None:
    other = [Measurement("R0", "per-example head"), Measurement("R1", "per-example head")]
    assert outcome(R0, R1, *other) is Outcome.CORRECT


def test_right_rewrites_of_what_was_right_or_unclear_are_not_confirmed() -> None:
    assert outcome(R0, R2, R3, rewritten=True) is Outcome.CORRECT  # equal counts, and no window that is off
    assert outcome(R0, Measurement("R1", "", 1e-4), R2, R3, rewritten=True) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("setting", "where"), [("", "R2: "), ("no count", "R2 (no count): ")])
def test_an_objection_names_the_setting(setting: str, where: str) -> None:
    failed = Measurement("R2", setting, failure="TypeError")
    judgement = judge(Answer((R0, R1_DIFFERS, failed, R3)), True)
    assert judgement.reason is not None and judgement.reason.startswith(where)


def test_what_ran_is_reported_with_what_its_type_allows() -> None:
    rows = (Measurement("R1", "", 2e-6, row="float32 on cuda"), Measurement("R1", "", 3e-3, row="bfloat16"))
    failed = Measurement("R2", "", failure="TypeError")
    runs = judge(Answer((R0, R1_DIFFERS, failed), rows=rows), False).runs
    assert [(run.name, run.row, run.allowed) for run in runs] == [
        ("R0", "", 1e-6),
        ("R1", "", 1e-6),
        ("R1", "float32 on cuda", 1e-5),
        ("R1", "bfloat16", 1e-2),
    ]


def test_a_loss_that_ran_alone_says_so() -> None:
    judgement = judge(Answer((Measurement("R0", "loss only"), Measurement("R1", "loss only", 0.5))), False)
    assert judgement.outcome is Outcome.WRONG
    assert judgement.reason == "loss only: relative error 0.5 when the counts differ"


@pytest.mark.parametrize(("scale", "outcome_then"), [(3.99, Outcome.INCONCLUSIVE), (4.002, Outcome.MISSING_DIVISION)])
def test_the_scale_must_be_the_steps_to_a_thousandth(scale: float, outcome_then: Outcome) -> None:
    control = Measurement("R0", "", scale - 1, scale)
    assert outcome(control, R1_DIFFERS) is outcome_then


def test_a_turned_gradient_is_no_factor() -> None:
    """Four times as long, and in another direction by more than a hundredth."""
    assert outcome(Measurement("R0", "", 3.001, 4.0), R1_DIFFERS) is Outcome.INCONCLUSIVE
    assert outcome(Measurement("R0", "", 3.0001, 4.0), R1_DIFFERS) is Outcome.MISSING_DIVISION


@pytest.mark.parametrize("error", [0.4, 0.5])
def test_rewrite_that_only_mends_the_call_is_not_refuted(error: float) -> None:
    after = Measurement("R2", "", error, 0.9, "head.weight")
    judgement = judge(Answer((R0, R1_DIFFERS, after, R3), raises="TypeError"), True)
    assert judgement.outcome is Outcome.INCONCLUSIVE
    assert judgement.reason is not None and "mends the TypeError and nothing else" in judgement.reason
    assert outcome(R0, R1_DIFFERS, after, R3, rewritten=True) is Outcome.REFUTED  # it could be called before
    worse = Measurement("R2", "", 0.6, 0.9, "head.weight")
    assert outcome(R0, R1_DIFFERS, worse, R3, rewritten=True, raises="TypeError") is Outcome.REFUTED
    undivided = Measurement("R0", "", 3.0, 4.0)
    assert outcome(undivided, R1_DIFFERS, after, R3, rewritten=True, raises="TypeError") is Outcome.REFUTED


def test_doubt_decides_where_it_changes_the_answer() -> None:
    open_to = f"{OTHER_HEAD}token"
    same, other = Measurement("R1", open_to, 0.4), Measurement("R1", open_to, 1e-16)
    assert outcome(R0, R1_DIFFERS, R0_OPEN, same) is Outcome.WRONG
    judgement = judge(Answer((R0, R1_DIFFERS, R0_OPEN, other)), False)
    assert judgement.outcome is Outcome.INCONCLUSIVE
    assert judgement.reason == f"right {open_to}, wrong otherwise: the code does not say which"
    assert outcome(R0, R1, R0_OPEN, same) is Outcome.INCONCLUSIVE


def test_a_setting_that_the_code_decides_is_no_doubt() -> None:
    assert outcome(R0, R1_DIFFERS, Measurement("R1", COUNT_PASSED, 1e-16)) is Outcome.WRONG


def test_division_that_is_missing_in_one_setting_only_says_so() -> None:
    undivided = Measurement("R0", "", 3.0, 4.0)
    judgement = judge(Answer((undivided, R1_DIFFERS, R0_OPEN, Measurement("R1", f"{OTHER_HEAD}token", 0.4))), False)
    assert judgement.outcome is Outcome.WRONG
    assert judgement.reason is not None and "relative error 0.4" in judgement.reason


def test_call_that_fails_for_certain_is_wrong_without_a_run() -> None:
    judgement = judge(Answer(missing="needs `x` (a.py:3)", raises="TypeError"), False)
    assert (judgement.outcome, judgement.runs) == (Outcome.WRONG, ())
    assert judgement.reason == "TypeError; its loss was not run: needs `x` (a.py:3)"
    rewritten = judge(Answer(missing="needs `x` (a.py:3)", raises="TypeError"), True)
    assert rewritten.outcome is Outcome.WRONG
    assert rewritten.reason == "TypeError; neither its loss nor the rewrite was run: needs `x` (a.py:3)"
    assert judge(Answer(missing="needs `x` (a.py:3)"), False).outcome is Outcome.NOT_VERIFIABLE


def judged(name: str, row: int, code: str, reason: str, *runs: Run, assumes: tuple[str, ...] = ()) -> Outcome:
    """What a refusal of the rewrite of this fixture's finding comes to."""
    path = FIXTURES / name
    text = path.read_text(encoding="utf-8")
    finding = next(
        d.finding for d in check_source(text, path) if (d.finding.code, d.finding.span.start.row) == (code, row)
    )
    site = site_at(path, text, row)
    assert site is not None
    return as_judged(finding, Verdict(site, Outcome.REFUTED, runs, assumes, reason)).outcome


def run(name: str, error: float, scale: float, setting: str = "") -> Run:
    return Run(name, setting, error, scale, "w", 1e-6)


TWICE = "GA103-double-division/accelerate_with_steps.py", 24, "GA103"
NOT_THE_STEPS = "GA103-double-division/count_and_steps.py", 15, "GA103"
BY_ONE = "GA106-mismatched-count/forms_that_are_counted_by_hand.py", 63, "GA106"
SHORT = "short last window"


def test_a_stand_in_that_shifts_refutes_no_count_of_labels_as_they_come() -> None:
    path = "GA101-mean-of-means/trainer_built_in_another_file/trainer.py"
    assert judged(path, 27, "GA101", "R2: the gradient", assumes=(HEAD_GUESSED,)) is Outcome.INCONCLUSIVE
    assert judged(path, 27, "GA101", "R2: the gradient") is Outcome.REFUTED
    assert judged(*TWICE, "R2: the gradient", assumes=(HEAD_GUESSED,)) is Outcome.REFUTED


@pytest.mark.parametrize(("after", "wanted"), [(0.5, Outcome.INCONCLUSIVE), (0.25, Outcome.REFUTED)])
def test_a_short_window_that_stays_as_it_was_refutes_no_dropped_division(after: float, wanted: Outcome) -> None:
    before = run("R0", 0.75, 0.25), run("R0", 0.875, 0.125, SHORT)
    rewritten = run("R2", 1e-16, 1), run("R2", 1 - after, after, SHORT)
    assert judged(*TWICE, f"R2 ({SHORT}): the gradient", *before, *rewritten) is wanted


@pytest.mark.parametrize(("control", "wanted"), [(1.0, Outcome.INCONCLUSIVE), (0.25, Outcome.REFUTED)])
def test_steps_that_the_control_has_seen_may_not_change_the_objective(control: float, wanted: Outcome) -> None:
    runs = run("R0", 1 - control, control), run("R2", 1e-16, 1), run("R3", 3, 4)
    assert judged(*NOT_THE_STEPS, "R3: the objective changed", *runs) is wanted


@pytest.mark.parametrize(("after", "wanted"), [(0.67, Outcome.INCONCLUSIVE), (0.4, Outcome.REFUTED)])
def test_a_division_by_one_may_go_where_the_gradients_stay(after: float, wanted: Outcome) -> None:
    runs = run("R0", 1e-16, 1), run("R1", 0.67, 1.1), run("R2", after, 1.1), run("R3", 1e-16, 1)
    assert judged(*BY_ONE, "R2: the gradient", *runs) is wanted


@pytest.mark.parametrize(("after", "wanted"), [(0.78, Outcome.INCONCLUSIVE), (0.9, Outcome.REFUTED)])
def test_an_opt_out_is_what_the_code_makes_of_no_count(after: float, wanted: Outcome) -> None:
    before = run("R0", 3, 4, "count passed"), run("R0", 1e-16, 1, "no count"), run("R1", 0.78, 1.2, "no count")
    rewritten = run("R2", after, 1.2, "count passed"), run("R3", 1e-16, 1, "count passed")
    runs = (*before, *rewritten)
    assert judged("GA201-missing-num-items/no_return_outputs.py", 9, "GA201", "R2 (count passed): it", *runs) is wanted
