"""What does each format make of the same two reports?"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from ga_lint.diagnostics import Severity
from ga_lint.outcome import Failed, Report, Skipped, SkipReason
from ga_lint.report import FORMATS, github, renderer
from ga_lint.report.text import width
from testbed.reports import EMPTY, SAMPLE, TRAIN

FULL = r"""
src/train.py:88:16: GA101 [mean-of-means] warning (certain)
  a mean is averaged over 8 micro-batches
   | 86 |     outputs = model(**batch)
   | 88 |         loss = outputs.loss / steps
   |    |                ^^^^^^^^^^^^ reduced to a mean here
   | 90 |         optimizer.step()
  trace: src/data.py:41  labels padded with -100
         train.py:88     divided by steps
         train.py:90     stepped every 8
  effect: tokens of short micro-batches weigh more
  fix (unsafe): weight each micro-batch by its share - `ga-lint fix --unsafe-fixes`

odd\x1b[31m,a:b%.py:3:6: GA203 [unforwarded-num-items] error (likely)
  100% wrong,\nreally
   | 3 | 損失 = (\x1b[2J損失
   |   |        ^^^^^^^^^^^^ here
  effect: gradients are 8 times too large
  no rewrite: there is a comment inside

Found 2 findings (1 error, 1 warning). `ga-lint fix --unsafe-fixes` can rewrite 1.
"""

CONCISE = r"""
src/train.py:88:16: GA101 [mean-of-means] a mean is averaged over 8 micro-batches
odd\x1b[31m,a:b%.py:3:6: GA203 [unforwarded-num-items] 100% wrong,\nreally
"""

GITHUB = (
    "::warning file=src/train.py,line=88,endLine=88,col=16,endColumn=28,title=ga-lint GA101 [mean-of-means]"
    "::a mean is averaged over 8 micro-batches%0Aeffect: tokens of short micro-batches weigh more"
    "%0Afix (unsafe): weight each micro-batch by its share\n"
    "::error file=odd\x1b[31m%2Ca%3Ab%25.py,line=3,endLine=5,title=ga-lint GA203 [unforwarded-num-items]"
    "::100%25 wrong,%0Areally%0Aeffect: gradients are 8 times too large\n"
    "::error file=odd\x1b[31m%2Ca%3Ab%25.py,title=ga-lint::internal error in GA101: boom%0Abang\n"
)


def test_full() -> None:
    assert renderer("full")(SAMPLE) == FULL[1:]
    assert renderer("full")(EMPTY) == "No wrong loss normalisation found.\n"


def test_full_never_says_clean_of_what_was_not_looked_at() -> None:
    assert renderer("full")(Report([Failed(TRAIN, "binary")])) == ""
    assert renderer("full")(Report([Skipped(TRAIN, SkipReason.STUB)])) == ""


def test_concise() -> None:
    assert renderer("concise")(SAMPLE) == CONCISE[1:]


def test_github() -> None:
    assert renderer("github")(SAMPLE) == GITHUB


def test_github_paths_begin_at_the_repository() -> None:
    assert "file=pkg/src/train.py," in github.render(SAMPLE, "pkg")
    assert "file=src/train.py," in github.render(SAMPLE, ".")


def test_json() -> None:
    mean, wide = json.loads(renderer("json")(SAMPLE))
    assert mean == {
        "cell": None,
        "code": "GA101",
        "confidence": "certain",
        "effect": {
            "factor": None,
            "kind": "weights",
            "message": "tokens of short micro-batches weigh more",
            "value": None,
        },
        "end_location": {"column": 28, "row": 88},
        "filename": "src/train.py",
        "fingerprint": "0123abcd",
        "fix": {
            "applicability": "unsafe",
            "edits": [
                {"content": "share", "end_location": {"column": 28, "row": 88}, "location": {"column": 16, "row": 88}}
            ],
            "message": "weight each micro-batch by its share",
        },
        "fix_refusal": None,
        "location": {"column": 16, "row": 88},
        "message": "a mean is averaged over 8 micro-batches",
        "name": "mean-of-means",
        "noqa_row": 89,
        "related": [
            {
                "cell": None,
                "filename": "src/data.py",
                "location": {"column": 5, "row": 41},
                "message": "labels padded with -100",
            },
            {
                "cell": None,
                "filename": "src/train.py",
                "location": {"column": 16, "row": 88},
                "message": "divided by steps",
            },
            {
                "cell": None,
                "filename": "src/train.py",
                "location": {"column": 1, "row": 90},
                "message": "stepped every 8",
            },
        ],
        "severity": "warning",
        "url": "https://github.com/ga-lint/ga-lint/blob/main/rules/GA101-mean-of-means.md",
        "verified": "confirmed",
    }
    assert wide["fix"] is None
    assert wide["fix_refusal"] == "there is a comment inside"
    assert wide["effect"]["value"] == 8.0


# What every object of ruff's `--output-format json` has, by name and type (ruff 0.17).
_LOCATION = {
    "type": "object",
    "required": ["column", "row"],
    "properties": {"column": {"type": "integer", "minimum": 1}, "row": {"type": "integer", "minimum": 1}},
}
RUFF = {
    "type": "array",
    "items": {
        "type": "object",
        "required": "cell code end_location filename fix location message name noqa_row severity url".split(),
        "properties": {
            "cell": {"type": ["integer", "null"]},
            "code": {"type": "string"},
            "end_location": _LOCATION,
            "filename": {"type": "string"},
            "fix": {
                "type": ["object", "null"],
                "required": ["applicability", "edits", "message"],
                "properties": {"applicability": {"enum": ["safe", "unsafe", "display"]}},
            },
            "location": _LOCATION,
            "noqa_row": {"type": ["integer", "null"]},
            "url": {"type": "string", "format": "uri"},
        },
    },
}


def test_json_has_ruffs_keys() -> None:
    jsonschema.validate(json.loads(renderer("json")(SAMPLE)), RUFF)


def test_statistics() -> None:
    report = Report([*SAMPLE.outcomes, *SAMPLE.outcomes[:1]])
    assert renderer("statistics")(report) == "2  GA101  mean-of-means\n1  GA203  unforwarded-num-items\n"


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_report(name: str) -> None:
    expected = {"full": "No wrong loss normalisation found.\n", "json": "[]\n"}.get(name, "")
    assert renderer(name)(EMPTY) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_a_reporter_changes_nothing_and_repeats_itself(name: str) -> None:
    assert renderer(name)(SAMPLE) == renderer(name)(SAMPLE)


@pytest.mark.parametrize("name", ["full", "concise"])
def test_no_control_character_reaches_the_terminal(name: str) -> None:
    assert not set(renderer(name)(SAMPLE)) & {chr(code) for code in range(32) if code != 10}


def test_the_underline_counts_cells() -> None:
    assert [width(text) for text in ("abc", "損失", "e\u0301")] == [3, 4, 1]


def test_exit_codes_and_the_last_line() -> None:
    assert SAMPLE.exit_code == 2
    found = Report(SAMPLE.outcomes[:1])
    assert (found.exit_code, Report(found.outcomes, exit_zero=True).exit_code) == (1, 0)
    assert Report(found.outcomes, fail_on=Severity.ERROR).exit_code == 0
    assert SAMPLE.summary() == "2 files checked, 1 skipped (1 internal error)"
    assert Report([Skipped(Path("a.pyi"), SkipReason.STUB)]).summary() == "0 files checked, 1 skipped (1 type stub)"
