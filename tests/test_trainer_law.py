"""Does the law compute what was measured? Every cell of tests/data/measured-gradients.toml."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ga_lint.knowledge.releases import load_releases
from ga_lint.knowledge.trainer_law import Form, Outcome, Site, Usage, outcome
from testbed.usages import cells, usage_of

RELEASES = load_releases()
MEAN_OF_MEANS, RANK_LOCAL = 1.03, 1.014  # the projection on the right gradient of those two wrong weightings


def expected(result: Outcome, steps: int, ranks: int) -> float:
    """The measure that the law's answer stands for."""
    weights = MEAN_OF_MEANS if result.mean_of_means else RANK_LOCAL if result.rank_local else 1.0
    return result.scale(steps, ranks) * weights


CELLS = list(cells())


def test_all_cells_are_there() -> None:
    assert len(CELLS) == 838


@pytest.mark.parametrize("scenario", list(dict.fromkeys(cell[0] for cell in CELLS)))
def test_the_law_computes_what_was_measured(scenario: str) -> None:
    wrong = []
    for name, release, steps, ranks, averages, value in CELLS:
        if name != scenario:
            continue
        row = RELEASES.row(release)
        result = outcome(usage_of(name, row, ranks=ranks > 1, averages=averages), row)
        said = result.raises or expected(result, steps, ranks)
        agrees = (
            said == value
            if isinstance(said, str) or value[0].isalpha()
            else said == pytest.approx(float(value), rel=0.01)
        )
        if not agrees:
            wrong.append((release, ranks, averages, value, said))
    assert not wrong


def train(site: Site, form: Form, release: str, **more: object) -> Outcome:
    """The outcome of a usage whose model is accepted."""
    return outcome(replace(Usage(site, form), **more), RELEASES.row(release))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("release", "steps"), [("4.46.0", 1), ("4.47.1", 1), ("4.48.0", 0), ("4.48.3", 1), ("4.52.4", 1), ("4.53.0", 0)]
)
def test_without_a_key_labels_nothing_is_counted(release: str, steps: int) -> None:
    assert train(Site.OVERRIDE, Form.MEAN, release, labels=False).steps == steps


@pytest.mark.parametrize(("release", "right"), [("5.14.1", False), ("5.15.0", True)])
def test_label_smoothing_takes_the_count(release: str, right: bool) -> None:
    assert train(Site.SMOOTHER, Form.MEAN, release).right == right


def test_a_division_by_the_steps_on_top_of_the_trainers() -> None:
    """Of an accepting model the Trainer divides nothing, so one's own division is the only one."""
    assert train(Site.OVERRIDE, Form.MEAN_OVER_STEPS, "4.57.6").steps == 0
    assert train(Site.OVERRIDE, Form.MEAN_OVER_STEPS, "4.57.6", accepted=False).steps == -1
    assert train(Site.OVERRIDE, Form.MEAN_OVER_STEPS, "4.45.2").steps == -1
    assert train(Site.OVERRIDE, Form.MEAN_OVER_STEPS, "5.23.0", scaled=True).steps == 0


def test_a_rank_factor_where_the_trainer_multiplies_already() -> None:
    assert train(Site.FUNCTION, Form.COUNT_TIMES_RANKS, "4.57.6", ranks=True).ranks == 1
    assert train(Site.FUNCTION, Form.COUNT_TIMES_RANKS, "4.57.6").ranks == 0


def test_no_branch_for_a_missing_count() -> None:
    """Up to 4.56 evaluation hands on no count; an unaccepted model gets none in training either from 4.51 on."""
    assert train(Site.OVERRIDE, Form.COUNT, "4.53.3", guarded=False) == Outcome(eval_raises="TypeError")
    assert train(Site.OVERRIDE, Form.COUNT, "4.57.6", guarded=False) == Outcome()
    assert train(Site.OVERRIDE, Form.COUNT, "4.53.3", guarded=False, accepted=False).raises == "TypeError"


def test_a_parameter_without_a_default() -> None:
    assert train(Site.OVERRIDE, Form.COUNT, "4.45.2", required=True).raises == "TypeError"
    assert train(Site.OVERRIDE, Form.COUNT, "4.48.0", required=True).raises == "TypeError"
    assert train(Site.OVERRIDE, Form.COUNT, "4.53.3", required=True) == Outcome(eval_raises="TypeError")
    assert train(Site.OVERRIDE, Form.COUNT, "4.57.6", required=True) == Outcome()


@pytest.mark.parametrize(
    ("site", "form", "release", "power"),
    [
        (Site.OVERRIDE, Form.COUNT, "4.57.6", -1),
        (Site.OVERRIDE, Form.COUNT, "4.56.2", 0),
        (Site.OVERRIDE, Form.COUNT_TIMES_RANKS, "4.57.6", 0),
        (Site.OVERRIDE, Form.MEAN, "4.57.6", 0),
        (Site.FUNCTION, Form.MEAN, "4.57.6", 1),
        (Site.MODEL, Form.MEAN, "4.57.6", 1),
        (Site.MODEL, Form.COUNT, "4.57.6", 0),
        (Site.MODEL, Form.COUNT, "4.53.3", 0),
        (Site.MODEL, Form.COUNT, "4.48.3", 1),
    ],
)
def test_the_loss_that_evaluation_reports(site: Site, form: Form, release: str, power: int) -> None:
    assert train(site, form, release, ranks=True, averages=True).eval_ranks == power


@pytest.mark.parametrize(
    ("release", "accepted", "steps"),
    [
        ("4.29.2", True, 0),
        ("4.45.2", True, 0),
        ("4.46.0", True, 0),
        ("4.46.0", False, 1),
        ("4.46.3", True, -1),
        ("4.47.1", False, 0),
        ("4.48.3", False, -1),
        ("4.49.0", True, 0),
        ("5.3.0", True, 0),
    ],
)
def test_under_deepspeed(release: str, accepted: bool, steps: int) -> None:
    """Read, not run: the engine divides by the steps until it is told not to."""
    form = Form.COUNT if accepted else Form.MEAN
    assert train(Site.MODEL, form, release, accepted=accepted, deepspeed=True).steps == steps


def test_a_deepspeed_that_does_not_listen() -> None:
    engine = RELEASES.engine("0.18.3")
    for site, steps in ((Site.MODEL, -2), (Site.SMOOTHER, -1), (Site.OVERRIDE, -1)):
        assert outcome(Usage(site, Form.COUNT, deepspeed=True), RELEASES.row("5.24.0"), engine).steps == steps
    assert RELEASES.engine("0.18.2") is None and RELEASES.engine("0.18.4") is None


def test_a_scale_is_that_of_one_rank_where_nobody_says_more() -> None:
    assert Outcome(steps=-1, ranks=1).scale(4) == 0.25
    assert Outcome(steps=-1, ranks=1).scale(4, 2) == 0.5
