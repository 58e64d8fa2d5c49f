"""Is the table of heads true of the installed release, and does the look-up answer what a rule asks?"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from ga_lint.knowledge import DroppedCounts, HeadRange, dropped_counts, head_drops_count
from heads import scan
from heads.table import Scan, render
from testbed.fixtures import ROOT
from testbed.shell import HIT, write

TABLE = dropped_counts()
NEWEST = (5, 24, 0)


def test_a_head_before_and_after_it_took_keywords() -> None:
    for name in ("BertForTokenClassification", "transformers.models.bert.modeling_bert.BertForTokenClassification"):
        assert head_drops_count(name, (4, 53, 3)) is None
        row = head_drops_count(name, (5, 0, 0))
        assert row is not None and row.level == "token" and row.since == (5, 0) and row.before is None
        assert row.holds(NEWEST) and row.holds((6, 0)) and not row.holds((4, 57, 6))


def test_a_llama_head_dropped_it_earlier() -> None:
    row = head_drops_count("LlamaForSequenceClassification", (4, 57, 6))
    assert row is not None and row.level == "sample"
    assert head_drops_count("LlamaForCausalLM") is None


def test_an_unknown_release_is_the_newest() -> None:
    once = HeadRange("Thing", "token", (4, 54), (5, 1), "here")
    again = HeadRange("Thing", "token", (5, 3), None, "here")
    assert DroppedCounts({"Thing": (once, again)}).at("Thing", None) is again
    assert DroppedCounts({"Thing": (once,)}).at("Thing", None) is None
    assert DroppedCounts({"Thing": (once, again)}).at("Thing", (5, 2, 9)) is None
    assert DroppedCounts({"Thing": (once, again)}).at("Thing", (5, 0, 9)) is once


def test_a_factory_names_its_class() -> None:
    assert head_drops_count("transformers.T5ForConditionalGeneration.from_pretrained", NEWEST) is not None
    assert head_drops_count("T5ForConditionalGeneration.from_config", NEWEST) is not None


def test_the_same_name_elsewhere_is_another_class() -> None:
    assert head_drops_count("mylib.models.BertForTokenClassification", NEWEST) is None


def test_an_automatic_class_has_a_share() -> None:
    tokens = head_drops_count("transformers.AutoModelForTokenClassification", NEWEST)
    assert tokens is not None and 0.9 < tokens.dropping / tokens.heads <= 1
    words = head_drops_count("AutoModelForCausalLM", NEWEST)
    assert words is None or words.dropping / words.heads < 0.5


def test_ranges_of_a_name_do_not_overlap() -> None:
    for name, ranges in TABLE.ranges.items():
        for before, after in itertools.pairwise(ranges):
            assert before.before is not None and before.before <= after.since, name


def test_every_row_names_its_source() -> None:
    assert all(one.source.strip() for ranges in TABLE.ranges.values() for one in ranges)


def test_check_does_not_read_the_table(tmp_path: Path) -> None:
    """It is the longest table, and few rules ask for it."""
    code = (
        "from ga_lint.knowledge import dropped_counts, load\n"
        "from ga_lint.cli.main import main\n"
        "main(['check', 'hit.py'])\n"
        "assert load.cache_info().currsize == 1\n"
        "assert dropped_counts.cache_info().currsize == 0\n"
    )
    write(tmp_path, {"hit.py": HIT, "run.py": code})
    run = [sys.executable, "run.py"]
    done = subprocess.run(run, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_releases_become_ranges() -> None:
    drops, other = "AForMaskedLM", "BForMultipleChoice"
    scans = [
        Scan((5, 2, 0), frozenset({other}), {}),
        Scan((4, 57, 6), frozenset({drops}), {}),
        Scan((5, 0, 0), frozenset({drops, other}), {"AutoModelForMaskedLM": (1, 2)}),
        Scan((5, 1, 0), frozenset(), {}),
    ]
    text = render(scans)
    assert text == render(scans[::-1])
    assert 'since = "4.57"\nbefore = "5.1"\ntoken = [\n    "AForMaskedLM",\n]' in text
    assert 'since = "5.0"\nbefore = "5.1"\nsample = [\n    "BForMultipleChoice",\n]' in text
    assert 'since = "5.2"\nsample = [\n    "BForMultipleChoice",\n]' in text
    assert 'name = "AutoModelForMaskedLM"\nlevel = "token"\nshares = [\n    ["5.0", 1, 2], ["5.1", 0, 0],\n]' in text


@pytest.mark.slow
def test_the_table_is_true_of_the_installed_release() -> None:
    transformers = pytest.importorskip("transformers")
    found, _ = scan.scan(Path(transformers.__file__).parents[1])
    written = {name: one for name in TABLE.ranges if (one := TABLE.at(name, found.release))}
    classes = {name for name in written if name not in found.shares and not name.startswith("AutoModelFor")}
    assert sorted(classes - found.heads) == [], "these rows are stale: the head uses the count, or is gone"
    assert sorted(found.heads - classes) == [], "these heads have no row"
    shares = {name: (one.dropping, one.heads) for name, one in written.items() if name not in classes}
    assert shares == dict(found.shares), "these shares are stale"
