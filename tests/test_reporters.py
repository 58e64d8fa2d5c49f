"""What does each format make of the same two reports?"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from junitparser import Error, Failure, JUnitXml
from junitparser import Skipped as SkippedCase
from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Severity
from ga_lint.outcome import Failed, Found, Report, Skipped, SkipReason
from ga_lint.report import FORMATS, renderer
from ga_lint.report.line_hash import line_hashes
from ga_lint.report.sarif import MAX_RESULTS
from ga_lint.report.text import width
from ga_lint.source import Edit
from testbed.reports import EMPTY, MEAN, SAMPLE, SYNTAX, TRAIN, WIDE, span
from testbed.sarif import validate

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
    "::error file=odd\\x1b[31m%2Ca%3Ab%25.py,title=ga-lint::internal error in GA101: boom%0Abang\n"
    "::error file=odd\\x1b[31m%2Ca%3Ab%25.py,line=3,endLine=5,title=ga-lint GA203 [unforwarded-num-items]"
    "::100%25 wrong,%0Areally%0Aeffect: gradients are 8 times too large\n"
    "::warning file=src/train.py,line=88,endLine=88,col=16,endColumn=28,title=ga-lint GA101 [mean-of-means]"
    "::a mean is averaged over 8 micro-batches%0Aeffect: tokens of short micro-batches weigh more"
    "%0Afix (unsafe): weight each micro-batch by its share\n"
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


@pytest.mark.parametrize("name", ["github", "gitlab", "sarif", "junit", "rdjson", "azure", "pylint", "markdown"])
def test_paths_for_a_ci_begin_at_the_repository(name: str) -> None:
    assert "pkg/src/train.py" in renderer(name)(replace(SAMPLE, below="pkg"))
    at_root = renderer(name)(replace(SAMPLE, below="."))
    assert at_root == renderer(name)(SAMPLE)
    assert "./src" not in at_root


def test_github_has_room_for_ten_of_a_level() -> None:
    ten, eleven = ([replace(MEAN, path=Path(f"f{i}.py")) for i in range(count)] for count in (10, 11))
    assert renderer("github")(Report([Found(TRAIN, tuple(ten))])).count("::warning file=") == 10
    likely = [replace(d, finding=replace(d.finding, confidence=Confidence.LIKELY)) for d in eleven[:2]]
    lines = renderer("github")(Report([Found(TRAIN, (*likely, *eleven[2:]))])).splitlines()
    assert [line.split(",")[0] for line in lines[:9]] == [f"::warning file=f{i}.py" for i in range(2, 11)]
    assert lines[9:] == ["::warning title=ga-lint::2 more are in the log and in the job summary; GitHub shows 10"]


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
                {
                    "cell": None,
                    "content": "share",
                    "end_location": {"column": 28, "row": 88},
                    "location": {"column": 16, "row": 88},
                }
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


def test_json_lines() -> None:
    lines = renderer("json-lines")(SAMPLE).splitlines()
    assert [json.loads(line) for line in lines] == json.loads(renderer("json")(SAMPLE))


GROUPED = r"""
src/train.py:
  88:16 GA101 [mean-of-means] a mean is averaged over 8 micro-batches

odd\x1b[31m,a:b%.py:
  3:6 GA203 [unforwarded-num-items] 100% wrong,\nreally
"""
AZURE = (
    "##vso[task.logissue type=warning;sourcepath=src/train.py;linenumber=88;columnnumber=16;code=GA101;]"
    "a mean is averaged over 8 micro-batches; tokens of short micro-batches weigh more\n"
    "##vso[task.logissue type=error;sourcepath=odd\\x1b[31m,a:b%AZP25.py;linenumber=3;columnnumber=6;code=GA203;]"
    "100%AZP25 wrong,%0Areally; gradients are 8 times too large\n"
    "##vso[task.logissue type=error;sourcepath=odd\\x1b[31m,a:b%AZP25.py;]internal error in GA101: boom%0Abang\n"
)
PYLINT = r"""
src/train.py:88: [GA101] a mean is averaged over 8 micro-batches
odd\x1b[31m,a:b%.py:3: [GA203] 100% wrong,\nreally
"""
MARKDOWN = r"""
## ga-lint: 2 findings

2 files checked, 1 skipped (1 internal error).

| place | rule | severity | what is wrong | effect |
|---|---|---|---|---|
| <code>odd\x1b[31m,a:b%.py:3</code> | [GA203 unforwarded-num-items](URL/GA203-unforwarded-num-items.md) | error | 100% wrong, really | gradients are 8 times too large |
| <code>src/train.py:88</code> | [GA101 mean-of-means](URL/GA101-mean-of-means.md) | warning | a mean is averaged over 8 micro-batches | tokens of short micro-batches weigh more |

Not analysed:

- <code>odd\x1b[31m,a:b%.py</code>: internal error in GA101: boom bang
"""  # noqa: E501


@pytest.mark.parametrize(
    ("name", "expected"),
    [("grouped", GROUPED[1:]), ("azure", AZURE), ("pylint", PYLINT[1:]), ("markdown", MARKDOWN[1:])],
)
def test_lines(name: str, expected: str) -> None:
    assert renderer(name)(SAMPLE) == expected.replace("URL", "https://github.com/ga-lint/ga-lint/blob/main/rules")


def test_markdown_keeps_words_words() -> None:
    finding = replace(MEAN.finding, message="a | `b | c[0]` <b> [x](y) *z*")
    text = renderer("markdown")(Report([Found(TRAIN, (replace(MEAN, finding=finding),))]))
    assert r"| a \| `b \| c[0]` \<b> \[x](y) \*z\* |" in text


def test_gitlab() -> None:
    mean, wide, failure = json.loads(renderer("gitlab")(SAMPLE))
    assert mean == {
        "check_name": "GA101",
        "description": "GA101: a mean is averaged over 8 micro-batches",
        "fingerprint": "0123abcd",
        "location": {
            "path": "src/train.py",
            "positions": {"begin": {"column": 16, "line": 88}, "end": {"column": 28, "line": 88}},
        },
        "severity": "major",
    }
    assert wide["severity"] == "critical"
    assert failure["severity"] == "blocker"
    assert failure["location"]["lines"] == {"begin": 1}


def test_gitlab_fingerprints_are_unique() -> None:
    issues = json.loads(renderer("gitlab")(Report([*SAMPLE.outcomes, *SAMPLE.outcomes])))
    assert len({issue["fingerprint"] for issue in issues}) == len(issues) == 6


def test_junit() -> None:
    read = JUnitXml.fromstring(renderer("junit")(SAMPLE).encode())
    assert (read.tests, read.failures, read.errors) == (3, 2, 1)
    train, odd = read
    (case,) = train
    assert (train.name, case.name, case.classname) == ("src/train.py", "org.ga-lint.GA101", "src/train.py")
    (failure,) = case.result
    assert isinstance(failure, Failure)
    assert failure.message == "a mean is averaged over 8 micro-batches"
    assert "line 88, col 16" in failure.text
    assert [type(result) for case in odd for result in case.result] == [Failure, Error]
    other = JUnitXml.fromstring(renderer("junit")(SYNTAX).encode())
    assert [type(result) for suite in other for case in suite for result in case.result] == [
        Failure,
        SkippedCase,
        Error,
    ]


def test_rdjson() -> None:
    document = json.loads(renderer("rdjson")(SAMPLE))
    mean, wide, failure = document["diagnostics"]
    assert document["source"]["name"] == "ga-lint"
    assert mean["code"]["value"] == "GA101"
    assert mean["location"]["range"] == {"start": {"line": 88, "column": 16}, "end": {"line": 88, "column": 28}}
    assert "suggestions" not in mean  # its edit is not of whole lines
    assert wide["location"]["range"]["start"] == {"line": 3, "column": len("損失 = (".encode()[:9]) + 1}
    assert failure["location"] == {"path": "odd\x1b[31m,a:b%.py"}


def test_rdjson_suggests_whole_lines_of_one_place() -> None:
    def suggestions(*edits: Edit) -> object:
        report = Report([Found(TRAIN, (replace(MEAN, edits=edits),))])
        return json.loads(renderer("rdjson")(report))["diagnostics"][0].get("suggestions")

    one = Edit(span(88, 1, 1, last=90), "a\nb\n")
    assert suggestions(one) == [{"range": {"start": {"line": 88}, "end": {"line": 89}}, "text": "a\nb"}]
    assert suggestions(one, Edit(span(95, 1, 1, last=96), "")) is None


class TestSarif:
    @pytest.mark.parametrize("report", [SAMPLE, SYNTAX, EMPTY], ids=["sample", "syntax", "empty"])
    def test_it_holds_to_the_standard_and_to_githubs_limits(self, report: Report) -> None:
        document = json.loads(renderer("sarif")(report))
        validate(document)
        (run,) = document["runs"]
        for rule in run["tool"]["driver"]["rules"]:
            assert rule["help"]["text"]
            assert all(0 < len(rule[key]["text"]) <= 1024 for key in ("shortDescription", "fullDescription"))
            assert len(rule["properties"]["tags"]) <= 20
        for result in run["results"]:
            place = result["locations"][0]["physicalLocation"]
            assert set(place["region"]) == {"startLine", "startColumn", "endLine", "endColumn"}
            assert not place["artifactLocation"]["uri"].startswith((".", "/"))

    def test_a_result(self) -> None:
        (run,) = json.loads(renderer("sarif")(SAMPLE))["runs"]
        mean, wide = run["results"]
        assert mean["message"]["text"] == (
            "a mean is averaged over 8 micro-batches. Effect: tokens of short micro-batches weigh more. "
            "How: [labels padded with -100](1), [divided by steps](2), [stepped every 8](3)."
        )
        steps = mean["codeFlows"][0]["threadFlows"][0]["locations"]
        assert [s["location"]["physicalLocation"]["region"]["startLine"] for s in steps] == [41, 88, 90]
        assert [related["id"] for related in mean["relatedLocations"]] == [1, 2, 3]
        (change,) = mean["fixes"][0]["artifactChanges"]
        assert change["replacements"][0]["insertedContent"] == {"text": "share"}
        assert wide["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "odd%1B%5B31m%2Ca%3Ab%25.py"
        assert run["tool"]["driver"]["rules"][wide["ruleIndex"]]["id"] == "GA203"
        assert wide["partialFingerprints"]["primaryLocationLineHash"] == line_hashes(WIDE.text or "")[2]

    def test_what_failed_is_told(self) -> None:
        (invocation,) = json.loads(renderer("sarif")(SAMPLE))["runs"][0]["invocations"]
        assert not invocation["executionSuccessful"]
        assert [note["message"]["text"] for note in invocation["toolExecutionNotifications"]] == [
            "internal error in GA101: boom\nbang"
        ]

    def test_more_than_github_takes(self) -> None:
        info = replace(MEAN, finding=replace(MEAN.finding, severity=Severity.INFO, trace=()))
        many = Report([Found(TRAIN, (*[info] * MAX_RESULTS, WIDE))])
        (run,) = json.loads(renderer("sarif")(many))["runs"]
        assert len(run["results"]) == MAX_RESULTS
        assert run["results"][0]["level"] == "error"  # the worst stay
        assert "1 results are left out" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]

    # From the tests of codeql-action, which computes the hash for those who do not.
    @pytest.mark.parametrize(
        ("text", "hashes"),
        [
            ("", ["c129715d7a2bc9a3:1"]),
            (" a\nb\n  \t\tc\n d", "271789c17abda88f:1 54703d4cd895b18:1 180aee12dab6264:1 a23a3dc5e078b07b:1".split()),
            *[
                (
                    text,
                    "e9496ae3ebfced30:1 fb7c023a8b9ccb3f:1 ce8ba1a563dcdaca:1 e20e36e16fcb0cc8:1 b3edc88f2938467e:1 "
                    "c8e28b0b4002a3a0:1 c129715d7a2bc9a3:1".split(),
                )
                for text in (
                    " hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End\n",
                    " hello; \t\nworld!!!\r\r\r  \t\tGreetings\r End\r",
                    " hello; \t\r\nworld!!!\r\n\r\n\r\n  \t\tGreetings\r\n End\r\n",
                )
            ],
            (
                "Lorem ipsum dolor sit amet.\n" * 10,
                [
                    *[f"a7f2ff13bc495cf2:{count}" for count in range(1, 7)],
                    *"a7f2ff1481e87703:1 a9cf91f7bbf1862b:1 55ec222b86bcae53:1 cc97dc7b1d7d8f7b:1".split(),
                    "c129715d7a2bc9a3:1",
                ],
            ),
        ],
    )
    def test_the_line_hash_is_github_s(self, text: str, hashes: list[str]) -> None:
        assert line_hashes(text) == hashes


def test_statistics() -> None:
    report = Report([*SAMPLE.outcomes, *SAMPLE.outcomes[:1]])
    assert renderer("statistics")(report) == "2  GA101  mean-of-means\n1  GA203  unforwarded-num-items\n"


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_report(name: str) -> None:
    text = renderer(name)(EMPTY)
    match name:
        case "full":
            assert text == "No wrong loss normalisation found.\n"
        case "json" | "gitlab":
            assert text == "[]\n"
        case "sarif":
            assert json.loads(text)["runs"][0]["results"] == []
        case "rdjson":
            assert json.loads(text)["diagnostics"] == []
        case "junit":
            assert [case.name for suite in JUnitXml.fromstring(text.encode()) for case in suite] == ["No errors found"]
        case "markdown":
            assert text == "## ga-lint: 0 findings\n\n1 file checked.\n"
        case _:
            assert text == ""


@pytest.mark.parametrize("name", FORMATS)
def test_a_reporter_changes_nothing_and_repeats_itself(name: str) -> None:
    for report in (SAMPLE, SYNTAX):
        assert renderer(name)(report) == renderer(name)(report)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_of_text_that_is_no_python(name: str) -> None:
    text = renderer(name)(SYNTAX)
    assert "nb/first.ipynb" in text
    assert "never closed" in text
    if name not in ("full", "concise", "grouped", "json", "json-lines", "pylint"):  # stderr tells, and the exit code
        assert "binary file (null bytes)" in text


@pytest.mark.parametrize("name", FORMATS)
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
