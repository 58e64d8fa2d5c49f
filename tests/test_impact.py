"""How much does a mean of means distort a training set? Exact expectations against laws, simulation and bad input."""

from __future__ import annotations

import itertools
import json
import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ga_lint.cli.arguments import parse
from ga_lint.cli.impact import fault_of, training_of
from ga_lint.diagnostics import Effect, EffectKind
from ga_lint.errors import UsageError
from ga_lint.report.numeric import renderer
from ga_lint.report.numeric.model import NumericReport, SiteImpact
from ga_lint.verify.impact import CURVE, MOST_DISTINCT, Law, _Expected, impact, law_of, scale_of
from testbed.fixtures import FIXTURES
from testbed.pages_html import read
from testbed.shell import environment, write
from testbed.verdicts import CORRECT, EMPTY, MEAN_OF_MEANS, MISSING, OF_RANKS, WRONG, run

COUNTS = st.lists(st.integers(1, 5000), min_size=1, max_size=40)
SIZE = st.integers(1, 16)
EXACT = 1e-9  # the quadrature is good to 1e-12


def skewed(number: int = 3000, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [1 + int(math.exp(draw.gauss(4, 1))) for _ in range(number)]


class TestLaws:
    @settings(deadline=None, max_examples=25)
    @given(st.integers(1, 100_000), SIZE, SIZE)
    def test_equal_counts_distort_nothing(self, count: int, steps: int, batch_size: int) -> None:
        found = impact([count] * 5, steps, batch_size)
        assert found.spread == pytest.approx(0, abs=1e-5)  # a root of rounding
        assert found.effective == pytest.approx(1, abs=EXACT)
        assert [length for length, _ in found.curve] == [count]
        assert all(each.weight == pytest.approx(1, abs=EXACT) for each in found.weights)

    @settings(deadline=None, max_examples=25)
    @given(COUNTS, SIZE)
    def test_one_micro_batch_distorts_nothing(self, counts: list[int], batch_size: int) -> None:
        found = impact(counts, 1, batch_size)
        assert found.spread == 0
        assert all(weight == pytest.approx(1, abs=EXACT) for _, weight in found.curve)

    @settings(deadline=None, max_examples=25)
    @given(COUNTS, SIZE, SIZE)
    def test_weights_of_targets_average_to_one(self, counts: list[int], steps: int, batch_size: int) -> None:
        expected = _Expected(sorted(counts), steps, batch_size)
        total = sum(number * count * expected.weight(count) for count, number in Counter(counts).items())
        assert total / sum(counts) == pytest.approx(1, abs=EXACT)

    @settings(deadline=None, max_examples=25)
    @given(COUNTS, SIZE, SIZE, st.randoms(use_true_random=False))
    def test_the_order_of_the_lines_means_nothing(
        self, counts: list[int], steps: int, batch_size: int, draw: random.Random
    ) -> None:
        turned = counts[:]
        draw.shuffle(turned)
        assert impact(turned, steps, batch_size) == impact(counts, steps, batch_size)

    @settings(deadline=None, max_examples=25)
    @given(COUNTS, SIZE, SIZE)
    def test_longer_samples_never_weigh_more(self, counts: list[int], steps: int, batch_size: int) -> None:
        curve = [weight for _, weight in impact(counts, steps, batch_size).curve]
        assert all(later <= earlier + EXACT for earlier, later in itertools.pairwise(curve))
        assert len(curve) == (CURVE if len(set(filter(None, counts))) > 1 else 1)

    @settings(deadline=None, max_examples=25)
    @given(COUNTS, st.integers(2, 16), st.integers(1, 8), st.integers(2, 50))
    def test_only_ratios_of_counts_count(self, counts: list[int], steps: int, size: int, factor: int) -> None:
        found, scaled = (impact(each, steps, size) for each in (counts, [factor * count for count in counts]))
        assert scaled.spread == pytest.approx(found.spread, abs=1e-5)
        assert scaled.weights[3].weight == pytest.approx(found.weights[3].weight, rel=EXACT)

    def test_one_sample_a_micro_batch_by_hand(self) -> None:
        found = impact([1, 5, 100_000], 8, 1)
        mean = 100_006 / 3
        expected = [(1 + 7 * mean / count) / 8 for count in (1, 5, 100_000)]
        assert [found.weights[place].weight for place in (0, 3, 6)] == pytest.approx(expected, rel=EXACT)
        inverse = (1 + 1 / 5 + 1e-5) / 3
        assert found.spread**2 == pytest.approx(7 / 8 * (mean * inverse - 1), rel=EXACT)

    def test_more_steps_are_worse_and_larger_micro_batches_better(self) -> None:
        counts = skewed()
        by_steps = [impact(counts, steps, 2).spread for steps in (1, 2, 4, 8)]
        by_size = [impact(counts, 8, size).spread for size in (8, 4, 2, 1)]
        assert by_steps == sorted(by_steps) and by_size == sorted(by_size)

    @pytest.mark.parametrize(("steps", "size"), [(2, 1), (8, 2), (4, 8)])
    def test_simulated_windows_agree(self, steps: int, size: int) -> None:
        """The oracle: windows drawn at random, their micro-batches averaged as the faulty code does."""
        counts, draw, rounds = skewed(), random.Random(1), 15_000
        found = impact(counts, steps, size)
        squares, shortest = 0.0, 0.0
        for _ in range(rounds):
            sums = [sum(draw.choices(counts, k=size)) for _ in range(steps)]
            squares += sum(total / sum(sums) * (sum(sums) / steps / total - 1) ** 2 for total in sums) / rounds
            own = found.shortest + sum(draw.choices(counts, k=size - 1))
            shortest += (own + sum(sums[1:])) / (steps * own) / rounds
        assert found.weights[0].weight == pytest.approx(shortest, rel=0.04)
        assert math.sqrt(squares) == pytest.approx(found.spread, rel=0.05)

    def test_micro_batches_without_targets_are_counted(self) -> None:
        found = impact([0] * 5 + [1, 2, 3] * 5, 4, 2)
        assert found.empty == pytest.approx(1 / 16)
        assert found.shortest == 1

    def test_very_many_different_counts_are_rounded(self) -> None:
        draw = random.Random(2)
        counts = [draw.randrange(1, 10**6) for _ in range(MOST_DISTINCT + 5000)]
        found = impact(counts, 8, 1)
        mean, inverse = sum(counts) / len(counts), sum(1 / count for count in counts) / len(counts)
        assert found.spread**2 == pytest.approx(7 / 8 * (mean * inverse - 1), rel=2e-3)

    @pytest.mark.parametrize("counts", [[], [0, 0], [-1, 2]])
    def test_nothing_to_weigh(self, counts: list[int]) -> None:
        with pytest.raises(ValueError, match="target"):
            impact(counts, 2, 2)

    @pytest.mark.parametrize(("steps", "batch_size"), [(0, 2), (2, 0)])
    def test_no_steps_and_no_samples(self, steps: int, batch_size: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            impact([3, 4], steps, batch_size)

    def test_the_last_window(self) -> None:
        assert impact([1] * 21, 4, 2).last == 3
        assert impact([1] * 24, 4, 2).last == 4

    def test_the_histogram_holds_every_sample(self) -> None:
        counts = skewed()
        found = impact(counts, 2, 2).histogram
        assert sum(number for _, _, number in found) == len(counts)


@pytest.mark.parametrize(
    ("factor", "scale"),
    [(None, 1), ("GAS", 8), ("1/GAS", 1 / 8), ("GAS^2", 64), ("1/GAS^2", 1 / 64), ("GAS*N", 8), ("1/N", 1), ("N", 1)],
)
def test_factors(factor: str | None, scale: float) -> None:
    assert scale_of(factor, 8) == scale


def test_what_one_process_cannot_show_is_what_check_says() -> None:
    stated = structs.replace(MEAN_OF_MEANS.finding, message="too small", effect=Effect(EffectKind.SCALE, "", "1/N"))
    site = replace(OF_RANKS, findings=(structs.replace(MEAN_OF_MEANS, finding=stated),))
    assert law_of(site.verdict.runs) == Law()
    assert fault_of(site) == Law("1/N")


def test_the_law_that_numbers_follow() -> None:
    assert law_of(WRONG.verdict.runs) == Law(None, True)
    assert law_of(MISSING.verdict.runs) == Law("GAS", True)
    assert law_of([run("R0", 0.75, 0.25), run("R1", 0.75, 0.25)]) == Law("1/GAS", False)
    assert law_of([run("R0", 15.0, 16.0), run("R1", 15.0, 16.0)]) == Law("GAS^2", False)
    assert law_of([run("R0", 0.5, 1.5), run("R1", 0.5, 1.5)]) is None
    assert law_of([run("R0", math.nan, math.nan), run("R1", 0, 1)]) is None
    assert law_of([]) is None


def asked(tmp_path: Path, text: str | bytes, *words: str) -> tuple[int, ...]:
    write(tmp_path, {"n.txt": text})
    training = training_of(parse(["verify", "--impact", str(tmp_path / "n.txt"), *words]))
    assert training is not None
    return training.counts


class TestInput:
    def test_one_a_line(self, tmp_path: Path) -> None:
        assert asked(tmp_path, "3\n\n 15 \r\n0\n9") == (3, 15, 0, 9)

    def test_json_lines(self, tmp_path: Path) -> None:
        lines = '{"n": 3}\n{"n": 15, "x": 1}\n{"n": [-100, 7, 8]}\n'
        assert asked(tmp_path, lines, "--field", "n") == (3, 15, 2)

    @pytest.mark.parametrize(
        ("text", "words", "message"),
        [
            ("3\nabc\n", (), ":2: 'abc' is no number of targets; write one whole number a line"),
            ("-3\n", (), ":1: '-3' is no number of targets; write one whole number a line"),
            ("3.5\n", (), ":1: '3.5' is no number of targets; write one whole number a line"),
            ("9" * 5000, (), "...' is no number of targets; write one whole number a line"),
            ('{"a": 1, "b": 2}\n', (), ":1: JSON lines need --field NAME, one of 'a', 'b'"),
            ('{"a": 1}\n{"b": 2}\n', ("--field", "a"), ":2: there is no field 'a'; there is 'b'"),
            (
                '{"a": "x"}\n',
                ("--field", "a"),
                ":1: 'a' is '\"x\"'; it must be a whole number of targets, or a list of labels",
            ),
            (
                '{"a": true}\n',
                ("--field", "a"),
                ":1: 'a' is 'true'; it must be a whole number of targets, or a list of labels",
            ),
            ("{\n", ("--field", "a"), ":1: '{' is not JSON; write one object a line, or leave --field out"),
            ("[" * 5000, ("--field", "a"), "...' is not JSON; write one object a line, or leave --field out"),
            ("", (), ": it is empty; write the number of targets of each sample, one a line"),
            ("0\n0\n", (), ": no sample in it holds a target; write the number of targets of each sample, one a line"),
            (b"\xff\xfe3", (), " is not UTF-8; write one whole number a line"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(
        self, tmp_path: Path, text: str | bytes, words: tuple[str, ...], message: str
    ) -> None:
        with pytest.raises(UsageError) as error:
            asked(tmp_path, text, *words)
        assert str(error.value).startswith(f"--impact: {tmp_path / 'n.txt'}")
        assert str(error.value).endswith(message)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("--impact no.txt", "--impact: no.txt cannot be read: No such file or directory"),
            ("--impact .", "--impact: . cannot be read: Is a directory"),
            ("--field n", "--field speaks of the training of --impact FILE; give both"),
            ("--batch-size 2", "--batch-size speaks of the training of --impact FILE; give both"),
            ("--impact x --batch-size 0", "--batch-size takes a whole number of 1 or more, not '0'"),
            ("--impact x --accumulation-steps -4", "--accumulation-steps takes a whole number of 1 or more, not '-4'"),
        ],
    )
    def test_options(self, line: str, message: str) -> None:
        with pytest.raises(UsageError) as error:
            training_of(parse(["verify", *line.split()]))
        assert str(error.value) == message


LOOP = (FIXTURES / "verify" / "loop_plain.py").read_text()
# torch is hidden, and so the numeric check: what `check` says must do.
_WITHOUT_TORCH = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "torch" else find(name, *more)
sys.modules["torch"] = None
from ga_lint.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class TestWithoutTorch:
    def verify(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        write(folder, {"run_me.txt": _WITHOUT_TORCH, "n.txt": "".join(f"{count}\n" for count in skewed(400))})
        done = subprocess.run(
            [sys.executable, "run_me.txt", "verify", "--impact", "n.txt", *words],
            cwd=folder,
            env=environment(**{"PYTHONIOENCODING": "utf-8", "COLUMNS": "80", **(env or {})}),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def test_sizes_come_from_the_code(self, tmp_path: Path) -> None:
        write(tmp_path, {"train.py": LOOP})
        code, out, _ = self.verify(tmp_path, "train.py")
        assert code == 1
        assert "windows of 8 micro-batches of 1 sample The gradient" in " ".join(out.split())
        assert "█" in out
        (site,) = json.loads(self.verify(tmp_path, "train.py", "--output-format", "json")[1])
        expected = impact(skewed(400), 8, 1)
        assert site["impact"]["spread"] == pytest.approx(expected.spread)
        assert site["impact"]["weights"][0]["weight"] == pytest.approx(expected.weights[0].weight)
        assert site["impact"]["mean_of_means"] is True
        assert site["outcome"] == "not verifiable"

    def test_options_win_and_ascii_is_enough(self, tmp_path: Path) -> None:
        write(tmp_path, {"train.py": LOOP})
        words = ("train.py", "--accumulation-steps", "4", "--batch-size", "2")
        _, out, _ = self.verify(tmp_path, *words, env={"PYTHONIOENCODING": "ascii"})
        assert "windows of 4 micro-batches of 2 samples The gradient" in " ".join(out.split())
        assert out.isascii() and "|###" in out

    def test_what_the_code_does_not_say_is_asked_for(self, tmp_path: Path) -> None:
        write(tmp_path, {"train.py": LOOP.replace("type=int, default=8", "type=int, required=True")})
        code, out, err = self.verify(tmp_path, "train.py")
        assert (code, out) == (2, "")
        assert err == (
            "error: --impact: how many accumulation steps has train.py:21? "
            "the code takes them from `args.accumulation_steps`; give --accumulation-steps N\n"
        )

    def test_nothing_wrong_is_said_so(self, tmp_path: Path) -> None:
        write(tmp_path, {"train.py": "x = 1\n"})
        code, out, _ = self.verify(tmp_path, "train.py", "--accumulation-steps", "4", "--batch-size", "2")
        assert code == 0
        assert "No fault was found, so nothing is distorted." in out


def found(law: Law) -> NumericReport:
    training = impact(skewed(300), 8, 2)
    site = replace(WRONG, impact=SiteImpact(law, training))
    return NumericReport((site,), EMPTY.files, counts="lengths.txt")


class TestReports:
    def test_scale_alone(self) -> None:
        text = renderer("full")(found(Law("GAS")))
        assert "Gradients are 8 times too large: so is an SGD step" in text
        assert "weigh" not in text

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_no_line_is_wider_than_the_terminal(self, width: int) -> None:
        lines = renderer("full")(replace(found(Law("GAS", True)), width=width)).splitlines()
        bars = [line for line in lines if "█" in line]
        assert len(bars) >= 5
        assert max(map(len, bars), default=0) in range(width - 3, width + 1)
        assert all(len(line) <= width for line in lines if not line.startswith("Impact of"))

    def test_ranks_are_named(self) -> None:
        assert "8 times too large, and once more for each rank" in renderer("full")(found(Law("GAS*N")))

    def test_a_short_last_window(self) -> None:
        text = renderer("full")(found(Law(last_window=True)))
        assert (
            "An epoch ends with a window of 6 of 8 micro-batches: its gradient is 0.75 of the right one."
            in text.replace("\n  ", " ")
        )

    def test_the_page_tells_the_same(self) -> None:
        page = read(renderer("html")(found(Law("GAS", True))))
        (figure,) = page.all("figure")
        rows = [[cell.text for cell in row.all("td")] for row in figure.all("tr")][1:]
        (site,) = json.loads(renderer("json")(found(Law("GAS", True))))
        assert [float(row[2]) for row in rows] == [float(f"{each['weight']:.3g}") for each in site["impact"]["weights"]]
        assert "8 times too large" in page.text

    def test_nothing_to_say_is_nothing_said(self) -> None:
        report = NumericReport((CORRECT,), EMPTY.files)
        assert renderer("full")(replace(report, counts="n.txt")) == renderer("full")(report)

    def test_a_site_that_is_right_has_none(self) -> None:
        (site,) = json.loads(renderer("json")(NumericReport((CORRECT,), EMPTY.files, counts="n.txt")))
        assert site["impact"] is None
