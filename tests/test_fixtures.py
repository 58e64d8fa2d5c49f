"""Does `check` say about realistic code exactly what the code's own comments expect?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ga_lint.diagnostics import Confidence
from ga_lint.rules.registry import Rule, all_rules
from testbed.expectations import Expectations, FixtureError, read_expectations, without_markers
from testbed.fixtures import FIXED, FIXTURES, Fixture, all_fixtures, check, diagnostics, fix, rows
from testbed.said import SAID, everything, recorded, said, sections_of

EVERY = all_fixtures()
SELF_CONTAINED = (  # overrides that need no more than a model, and whose fault any batch shows
    "GA201-missing-num-items/logging_wrapper",
    "GA201-missing-num-items/own_cross_entropy",
    "GA202-ignored-num-items/functional_mean",
    "GA202-ignored-num-items/kwargs_swallow",
    "GA202-ignored-num-items/outputs_loss",
    "GA202-ignored-num-items/used_in_one_branch",
    "GA203-unforwarded-num-items/base_class_called_by_name",
    "GA203-unforwarded-num-items/logging_wrapper",
    "GA204-missing-rank-factor/conditional_reduction",
    "GA204-missing-rank-factor/mean_times_targets",
    "GA204-missing-rank-factor/sum_over_count",
)
REWRITTEN = [fixture for fixture in EVERY if fixture.fixed.exists()]


@pytest.mark.parametrize("fixture", EVERY, ids=str)
def test_findings_are_exactly_those_expected(fixture: Fixture) -> None:
    expectations = read_expectations(fixture.path)
    found = everything(fixture)
    complaints = expectations.complaints(rows([d for d in found if d.finding.confidence >= Confidence.LIKELY]))
    assert not complaints, "\n".join([*complaints, *(f"  {d.finding.message}" for d in found)])
    assert said(fixture, found) == recorded(fixture), "if the new words are better: python tests/testbed/said.py"


def test_nothing_is_recorded_that_nobody_says() -> None:
    sections = [f"{path.stem}/{name}" for path in sorted(SAID.glob("*.txt")) for name in sections_of(path)]
    assert set(sections) <= {str(fixture) for fixture in EVERY}


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_fix_writes_the_fixed_file(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ga_lint.fixers.registry.LONG", 0)  # read by parts, as longer files are
    assert fix(fixture) == without_markers(fixture.fixed.read_text(encoding="utf-8"))


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_what_is_left_in_a_fixed_file_is_expected_there(fixture: Fixture) -> None:
    found = rows(diagnostics(check(fixture.fixed, fixture.project)))
    assert not read_expectations(fixture.fixed).complaints(found)


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_trainer")
@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("ranks", [1, 2])
def test_rewritten_trainers_equal_the_full_batch(ranks: int) -> None:
    """The real Trainer, our own oracle: every original is far from it, every rewrite equals it."""
    pytest.importorskip("torch", reason="the oracle is plain torch")
    pytest.importorskip("transformers", reason="the overrides run on the real Trainer")
    from testbed.numeric import measure

    pairs = [FIXTURES / f"{name}.py" for name in SELF_CONTAINED if ranks > 1 or not name.startswith("GA204")]
    paths = [*pairs, *(path.with_name(path.stem + FIXED) for path in pairs)]
    measured = dict(zip(paths, measure([path.read_text() for path in paths], ranks=ranks), strict=True))
    for path, result in measured.items():
        if path.name.endswith(FIXED):
            assert result.error < 1e-6, f"{path}: {result}"  # the heads compute their loss in float32
        else:
            assert result.raised or result.error > 1e-2, f"{path}: {result}"


def test_every_fixed_file_has_its_original() -> None:
    orphans = [path for path in FIXTURES.rglob("*" + FIXED) if not path.with_name(_original(path)).exists()]
    assert not orphans


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_every_rule_has_hits_and_near_misses(rule: Rule) -> None:
    code, folder = rule.code, FIXTURES / f"{rule.code}-{rule.name}"
    read = [read_expectations(path) for path in folder.rglob("*.py") if not path.name.endswith(FIXED)]
    assert any(code == c for e in read for _, c in e.expected), f"{folder.name} holds no hit"
    assert any(code == c for e in read for _, c in e.silences), f"{folder.name} holds no near-miss"


def test_near_misses_say_why() -> None:
    """A file named ok_* documents a silence and expects nothing."""
    wrong = []
    for fixture in EVERY:
        expectations = read_expectations(fixture.path)
        if fixture.path.name.startswith("ok_") and (expectations.expected or not expectations.silences):
            wrong.append(str(fixture))
    assert not wrong


def _original(fixed: Path) -> str:
    return fixed.name.removesuffix(FIXED) + ".py"


class TestGrammar:
    """The expectations themselves."""

    @staticmethod
    def read(tmp_path: Path, text: str) -> Expectations:
        path = tmp_path / "fixture.py"
        path.write_text(text)
        return read_expectations(path)

    def test_codes_rows_and_kinds(self, tmp_path: Path) -> None:
        read = self.read(tmp_path, "a = 1  # expect: GA101, GA103\nb = 2  # todo: GA104\nc = 3  # ok: GA101 - why\n")
        assert read.expected == Counter({(1, "GA101"): 1, (1, "GA103"): 1})
        assert read.gaps == {(2, "GA104")}
        assert read.silences == {(3, "GA101")}

    def test_a_marker_in_a_string_is_none(self, tmp_path: Path) -> None:
        assert not self.read(tmp_path, 'text = "# expect: GA101"\n')

    @pytest.mark.parametrize(
        "comment", ["# expect GA101", "#expect: GA101", "# ok: GA101", "# todo: GA1", "# expect: GA101 now"]
    )
    def test_a_misspelt_marker_is_an_error(self, tmp_path: Path, comment: str) -> None:
        with pytest.raises(FixtureError, match=r"fixture\.py:1"):
            self.read(tmp_path, f"a = 1  {comment}\n")

    def test_a_missing_finding_and_an_unexpected_one_are_told_apart(self) -> None:
        expectations = Expectations(expected=Counter({(3, "GA101"): 1}))
        complaints = expectations.complaints(Counter({(4, "GA102"): 1}))
        assert complaints == ["row 3: GA101 expected, not reported", "row 4: GA102 reported, not expected"]

    def test_a_closed_gap_must_be_written_down(self) -> None:
        expectations = Expectations(gaps=frozenset({(3, "GA101")}))
        assert not expectations.complaints(Counter())
        assert "a known gap is closed" in expectations.complaints(Counter({(3, "GA101"): 1}))[0]

    def test_the_same_finding_twice_is_reported(self) -> None:
        expectations = Expectations(expected=Counter({(3, "GA101"): 1}))
        assert expectations.complaints(Counter({(3, "GA101"): 2}))
