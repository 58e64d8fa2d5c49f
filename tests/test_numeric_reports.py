"""What does each format make of the same numeric checks, whatever the user's names and texts hold?"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml
from junitparser import Skipped as SkippedCase
from msgspec import structs

from ga_lint.cli.judged import is_cleared
from ga_lint.outcome import Report
from ga_lint.report.numeric import FORMATS, renderer
from ga_lint.report.numeric.json import site_object
from ga_lint.report.numeric.model import NumericReport, SiteReport
from testbed import browser
from testbed.pages_html import Element, read
from testbed.sarif import validate
from testbed.verdicts import (
    CLEARED,
    CONFIRMED,
    CORRECT,
    DIED,
    EMPTY,
    HOSTILE,
    INCONCLUSIVE,
    MEAN_OF_MEANS,
    MISSING,
    OF_RANKS,
    REFUTED,
    SAMPLE,
    SWEEP,
    WRONG,
)

PLAIN = NumericReport((CONFIRMED, MISSING, WRONG, CLEARED, CORRECT, INCONCLUSIVE), Report([]))

AT_80 = """
verdict           R1       R2       R4       factor  site
confirmed         0.67     1.6e-16  3e-16    0.995   src/train.py:4 train
  R4 with 2 processes, DDP: 3e-16
  bfloat16: R0 0.0009, R1 0.7, R2 0.002
missing division  4.2      -        -        4       src/train.py:4 train
  the gradient is 4 times too large with 4 accumulation steps: a division is
  missing
wrong             0.5      -        -        1       src/train.py:4 train
correct           1.6e-16  -        -        1       src/train.py:4 train
  GA101 [mean-of-means] of line 3 is withdrawn
correct           -        -        -        1       src/train.py:4 train
  get_batch() stacks blocks of one size
inconclusive      -        -        -        1       src/train.py:4 train
  R0: neither noise nor a clear difference

6 sites: 1 confirmed, 2 correct, 1 wrong, 1 missing division, 1 inconclusive;
1 finding withdrawn
R1: error of the original, R2: of its rewrite, R4: on ranks. `-v` shows every
run and all that was assumed.
"""
AT_40 = """
src/train.py:4
  confirmed
  R1 0.67  R2 1.6e-16  R4 3e-16
  factor 0.995
  R4 with 2 processes, DDP: 3e-16
  bfloat16: R0 0.0009, R1 0.7, R2 0.002
src/train.py:4
  missing division
  R1 4.2  factor 4
  the gradient is 4 times too large with
  4 accumulation steps: a division is
  missing
"""


def named(name: str, *sites: SiteReport) -> str:
    return renderer(name)(NumericReport(sites, Report([])))


class TestFull:
    def test_a_line_a_site(self) -> None:
        assert renderer("full")(PLAIN) == AT_80[1:]

    def test_forty_columns(self) -> None:
        narrow = renderer("full")(replace(PLAIN, width=40))
        assert narrow.startswith(AT_40[1:])
        assert max(map(len, narrow.splitlines())) <= 40

    def test_a_path_that_leaves_no_room_is_whole(self) -> None:
        path = Path("a/very/long/way/down/to/the/file/that/holds/the/loop.py")
        text = named("full", replace(WRONG, verdict=replace(WRONG.verdict, site=replace(WRONG.site, path=path))))
        assert text.startswith(f"{path}:4\n  wrong\n")

    def test_details(self) -> None:
        text = renderer("full")(replace(PLAIN, details=True, width=120))
        assert "  R2 rewrite, ragged counts (no count): 0.3, allowed 1e-06, scale 1, worst in head.weight\n" in text
        assert "  assumes: stand-ins that do nothing: wandb\n" in text

    def test_nothing_acts_on_the_terminal(self) -> None:
        text = renderer("full")(replace(SAMPLE, details=True))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)

    def test_a_nan_is_shown(self) -> None:
        assert re.search(r"^refuted +0\.5 +nan +0\.3 ", named("full", REFUTED), re.MULTILINE)


class TestJson:
    def strictly(self, text: str) -> list[dict[str, object]]:
        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        found: list[dict[str, object]] = json.loads(text, parse_constant=refuse)
        return found

    def test_a_site(self) -> None:
        (found,) = self.strictly(named("json", CONFIRMED))
        sweep = found.pop("sweep")
        runs = found.pop("runs")
        diff = found.pop("diff")
        assert found == {
            "assumptions": ["stand-ins that do nothing: wandb"],
            "cell": None,
            "factor": 0.995,
            "filename": "src/train.py",
            "findings": [
                {
                    "code": "GA101",
                    "location": {"column": 16, "row": 3},
                    "message": "a mean is averaged over 8 micro-batches",
                    "name": "mean-of-means",
                    "withdrawn": False,
                }
            ],
            "has_rewrite": True,
            "impact": None,
            "kind": "loop",
            "location": {"column": 1, "row": 4},
            "message": "the gradient depends on how the batch is cut (relative error 0.67), and that of the rewrite "
            "does not",
            "outcome": "confirmed",
            "reason": None,
            "scope": "train",
        }
        assert isinstance(runs, list) and [run["name"] for run in runs] == [
            *("R0", "R1", "R2", "R3", "R2", "R4", "R4", "R0", "R1", "R2")
        ]
        assert [(run["setting"], run["row"]) for run in runs[5:8]] == [
            *(("", ""), ("2 processes, DDP", ""), ("", "bfloat16"))
        ]
        assert isinstance(diff, str) and "\n-        loss = model(**batch).loss / steps  # é\n" in diff
        assert isinstance(sweep, dict) and sweep["skew"][1] == {
            "value": 0.5,
            "original": 0.6,
            "rewrite": None,  # NaN
            "failure": None,
        }

    def test_numbers_that_json_has_not_are_null(self) -> None:
        (found,) = self.strictly(named("json", REFUTED))
        runs = found["runs"]
        assert isinstance(runs, list) and runs[2]["relative_error"] is None

    def test_the_sample(self) -> None:
        assert [site["outcome"] for site in self.strictly(renderer("json")(SAMPLE))] == [
            *("confirmed", "refuted", "missing division", "wrong", "correct", "correct", "inconclusive"),
            *("not verifiable", "confirmed", "not run"),
        ]


def test_github() -> None:
    lines = named("github", CONFIRMED, MISSING, CLEARED, CORRECT).splitlines()
    assert lines == [
        (
            "::error file=src/train.py,line=4,endLine=4,title=ga-lint verify%3A missing division"
            "::the gradient is 4 times too large with 4 accumulation steps: a division is missing"
        ),
        (
            "::warning file=src/train.py,line=4,endLine=4,title=ga-lint verify%3A confirmed"
            "::the gradient depends on how the batch is cut (relative error 0.67), and that of the rewrite does not"
            "%0A`ga-lint fix` writes the rewrite"
        ),
        (
            "::notice file=src/train.py,line=4,endLine=4,title=ga-lint verify%3A correct"
            "::right as it is: the gradient does not depend on how the batch is cut"
            "%0AGA101 [mean-of-means] of line 3 is withdrawn"
        ),
    ]


@pytest.mark.parametrize("name", ["full", "json", "github", "sarif", "junit", "html"])
def test_a_fault_of_the_ranks_is_told_in_every_format(name: str) -> None:
    text = named(name, OF_RANKS)
    if name == "full":
        assert text.splitlines()[1:3] == [
            "confirmed         1e-16    1e-16    2e-16    1       src/train.py:4 train",
            "  R4 of the original 0.5",
        ]
    else:
        assert "n several ranks the gradient is not that of the batch" in text
        assert "(relative error 0.5" in text.replace("\\", "")


@pytest.mark.parametrize("name", ["json", "sarif", "junit", "html", "full"])
def test_rows_are_told(name: str) -> None:
    assert "bfloat16" in named(name, CONFIRMED)


def test_a_row_is_not_what_decides() -> None:
    worst = replace(CONFIRMED.verdict.runs[-2], name="R1", relative_error=9.0, setting="")
    site = replace(CONFIRMED, verdict=replace(CONFIRMED.verdict, runs=(*CONFIRMED.verdict.runs, worst)))
    assert site.run("R1") == CONFIRMED.run("R1") and site.factor == CONFIRMED.factor


def test_a_row_keeps_no_finding_alive() -> None:
    noise = replace(CLEARED.verdict.runs[1], relative_error=0.5, row="float16")
    verdict = replace(CLEARED.verdict, runs=(*CLEARED.verdict.runs, noise))
    assert is_cleared(MEAN_OF_MEANS.finding, verdict)
    assert not is_cleared(MEAN_OF_MEANS.finding, replace(verdict, runs=(*verdict.runs, replace(noise, row=""))))


def test_the_page_says_where_each_run_was_computed() -> None:
    (runs,) = [each for each in read(named("html", CONFIRMED)).all("table") if "computed in" in each.text]
    cells = [[cell.text for cell in row.all("td")] for row in runs.all("tr")][1:]
    assert [row[0] + " " + row[-1] for row in cells[6:8]] == ["R4 float64", "R0 bfloat16"]
    assert "computed in" not in named("html", OF_RANKS)


def test_what_was_not_run_is_no_success_on_github() -> None:
    assert named("github", DIED) == (
        "::error file=src/train.py,line=4,endLine=4,title=ga-lint verify%3A not run"
        "::not run: the worker process died or hung on it\n"
    )


def test_github_has_room_for_ten_of_a_level() -> None:
    lines = named("github", *[WRONG] * 11).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "::warning title=ga-lint verify::2 more are in the log; GitHub shows 10"


def test_junit() -> None:
    read_back = JUnitXml.fromstring(renderer("junit")(SAMPLE).encode())
    assert (read_back.tests, read_back.failures, read_back.errors, read_back.skipped) == (11, 5, 1, 3)
    results = [(case.name, [type(r) for r in case.result]) for suite in read_back for case in suite]
    assert results[0] == ("loop train line 4", [Failure])
    assert ("cell 3, row 4: loop line 4", [SkippedCase]) in results
    cleared = next(case for suite in read_back for case in suite if case.system_out and "withdrawn" in case.system_out)
    assert not cleared.result


class TestSarif:
    @pytest.mark.parametrize("report", [SAMPLE, EMPTY], ids=["sample", "empty"])
    def test_it_holds_to_the_standard(self, report: NumericReport) -> None:
        validate(json.loads(renderer("sarif")(report)))

    def test_kinds_and_levels(self) -> None:
        (run,) = json.loads(renderer("sarif")(SAMPLE))["runs"]
        found = {result["properties"]["outcome"]: (result["kind"], result["level"]) for result in run["results"]}
        assert found == {
            "confirmed": ("fail", "warning"),
            "refuted": ("fail", "error"),
            "missing division": ("fail", "error"),
            "wrong": ("fail", "warning"),
            "correct": ("pass", "none"),
            "inconclusive": ("review", "none"),
            "not verifiable": ("open", "none"),
            "not run": ("open", "none"),
        }
        for result in run["results"]:
            assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]

    def test_what_is_right_is_told_only_where_a_finding_is_withdrawn(self) -> None:
        (run,) = json.loads(named("sarif", CORRECT, CLEARED))["runs"]
        (result,) = run["results"]
        assert result["properties"]["withdrawn"] == ["GA101"]
        assert "GA101 \\[mean-of-means\\] of line 3 is withdrawn" in result["message"]["text"]

    def test_a_notebook_has_its_own_place(self) -> None:
        (run,) = json.loads(renderer("sarif")(SAMPLE))["runs"]
        (result,) = [each for each in run["results"] if each["properties"]["outcome"] == "not verifiable"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "nb/train.ipynb"
        assert place["region"]["startLine"] == 1
        assert "cell 3, row 4" in result["message"]["text"]


class TestPage:
    """Read without a browser."""

    PAGE = read(renderer("html")(SAMPLE))

    def test_it_loads_and_runs_nothing(self) -> None:
        text = renderer("html")(SAMPLE)
        for tag in ("script", "link", "img", "iframe", "object", "form"):
            assert not list(self.PAGE.all(tag)), tag
        assert "url(" not in text and "@import" not in text
        assert not [name for each in _everything(self.PAGE) for name in each.attributes if name.startswith("on")]
        for link in self.PAGE.all("a"):
            assert link.attributes["href"].startswith(("#site-", "https://github.com/ga-lint/ga-lint/blob/main/rules/"))
        (policy,) = [m for m in self.PAGE.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
        assert policy.attributes["content"].startswith("default-src 'none'")

    def test_every_text_of_the_user_is_text(self) -> None:
        shown = HOSTILE.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
        (refuted,) = [each for each in self.PAGE.all("section", class_="site") if "✗ refuted" in each.text]
        for element in ("h2", "p", "li", "pre"):
            assert any(shown in each.text or r"odd\x1b[31m" in each.text for each in refuted.all(element)), element
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", renderer("html")(SAMPLE))

    def test_links_lead_to_their_sites(self) -> None:
        ids = [section.attributes.get("id") for section in self.PAGE.all("section")]
        links = [link.attributes["href"] for link in self.PAGE.all("a") if link.attributes["href"].startswith("#")]
        assert links and len(links) == len(set(links))
        assert {link[1:] for link in links} <= set(ids)

    def test_what_is_wrong_comes_first(self) -> None:
        badges = [next(section.all("span", class_="badge")).text for section in self.PAGE.all("section", class_="site")]
        assert badges == [
            *("✓ confirmed", "✗ refuted", "! missing division", "! wrong", "✓ confirmed"),
            *("✓ correct", "✓ correct", "? inconclusive", "? not verifiable", "✗ not run"),
        ]

    def test_each_picture_is_told_in_words_and_numbers(self) -> None:
        figures = list(self.PAGE.all("figure"))
        assert [next(each.all("figcaption")).text for each in figures] == [
            *("By parameter", "Element by element", "Over accumulation steps", "Over label skew")
        ]
        for figure in figures:
            (picture,) = figure.all("svg")
            assert picture.attributes["role"] == "img" and len(picture.attributes["aria-label"]) > 50
            assert list(figure.all("td"))
        steps = [[cell.text for cell in row.all("td")] for row in figures[2].all("tr")][1:]
        assert steps[1] == ["2", "0.87", "1.7e-16", ""]
        assert steps[3] == ["16", "not measured", "not measured", "fails here"]

    def test_marks_differ_by_more_than_colour(self) -> None:
        (figure, *_) = self.PAGE.all("figure")
        assert (
            len(list(figure.all("circle", class_="original"))) == len(list(figure.all("path", class_="rewrite"))) == 2
        )

    def test_every_element_stands_in_its_panel(self) -> None:
        (_, figure, *_) = self.PAGE.all("figure")
        panels = [
            (float(one.attributes["x"]), float(one.attributes["width"])) for one in figure.all("rect", class_="panel")
        ]
        places = [float(one.attributes["cx"]) for one in figure.all("circle")]
        assert panels and places
        assert all(any(left < place < left + width for left, width in panels) for place in places)

    def test_without_a_rewrite_the_code_is_shown(self) -> None:
        page = read(named("html", WRONG))
        (code,) = page.all("pre")
        assert "4          loss.backward()" in code.text
        assert "rewrite's error" not in page.text

    def test_what_was_not_looked_at_is_told(self) -> None:
        assert "not looked at: odd" in self.PAGE.text

    def test_it_repeats_itself(self) -> None:
        assert renderer("html")(SAMPLE) == renderer("html")(SAMPLE)


def _everything(element: Element) -> list[Element]:
    return [each for child in element.children for each in (child, *_everything(child))]


@pytest.mark.slow
@pytest.mark.skipif(browser.chromium() is None, reason=browser.WHY_NOT)
def test_chromium_shows_what_the_json_says(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(renderer("html")(SAMPLE), encoding="utf-8")
    shown = read(browser.run(page, "--dump-dom", profile=tmp_path / "profile"))
    objects = {}
    for site in SAMPLE.sites:
        written = json.loads(json.dumps(site_object(site)))
        objects.setdefault((written["filename"], written["outcome"]), []).append(written)
    sections = list(shown.all("section", class_="site"))
    assert len(sections) == len(SAMPLE.sites)
    for section in sections:
        place = next(section.all("h2")).text
        outcome = next(section.all("span", class_="badge")).text.split(maxsplit=1)[1]
        path = {"src": "src/train.py", "odd": SAMPLE.sites[1].site.path.as_posix(), "nb/": "nb/train.ipynb"}[place[:3]]
        expected = objects[path, outcome].pop(0)
        assert place.endswith(f":{expected['location']['row']}")
        said = next(section.all("p", class_="said")).text
        assert said[1:].startswith(expected["message"][1:20])
        _same_numbers(section, expected)
    assert not any(objects.values())


def _same_numbers(section: Element, expected: dict[str, object]) -> None:
    tables = {each.attributes.get("aria-label", ""): each for each in section.all("table")}
    runs = expected["runs"]
    assert isinstance(runs, list)
    shown = [[cell.text for cell in row.all("td")] for table in section.all("table") for row in table.all("tr")]
    for run in runs:
        error = run["relative_error"]
        assert any(
            row[:1] == [run["name"]] and row[3] == ("nan" if error is None else f"{error:.2g}")
            for row in shown
            if len(row) in (7, 8)
        )
    sweep = expected["sweep"]
    if not isinstance(sweep, dict):
        assert "Over label skew" not in tables
        return
    for name, key in (("Over accumulation steps", "steps"), ("Over label skew", "skew")):
        rows = [[cell.text for cell in row.all("td")] for row in tables[name].all("tr")][1:]
        assert [float(row[0]) for row in rows] == [float(f"{point['value']:.2g}") for point in sweep[key]]
        for row, point in zip(rows, sweep[key], strict=True):
            if point["original"] is not None:
                assert float(row[1]) == float(f"{point['original']:.2g}")
    assert len(list(tables["By parameter"].all("tr"))) == 1 + len(sweep["parameters"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_withdrawn_finding_is_told_in_every_format(name: str) -> None:
    text = named(name, CLEARED)
    assert "GA101" in text
    assert "withdrawn" in text
    assert "withdrawn" not in named(name, CORRECT).replace('"withdrawn": []', "").replace(".withdrawn", "")


@pytest.mark.parametrize("name", FORMATS)
def test_paths_for_a_ci_begin_at_the_repository(name: str) -> None:
    text = renderer(name)(replace(SAMPLE, files=structs.replace(SAMPLE.files, below="pkg")))
    assert ("pkg/src/train.py" in text) == (name in ("github", "sarif", "junit"))


@pytest.mark.parametrize("name", FORMATS)
def test_no_site_at_all(name: str) -> None:
    text = renderer(name)(EMPTY)
    match name:
        case "full":
            assert text == "No accumulation site found.\n"
        case "json":
            assert text == "[]\n"
        case "github":
            assert text == ""
        case "junit":
            assert JUnitXml.fromstring(text.encode()).tests == 1
        case "html":
            assert "0 sites" in read(text).text


def test_the_sample_holds_a_number_that_is_none() -> None:
    assert math.isnan(REFUTED.verdict.runs[2].relative_error) and math.isnan(SWEEP.skew[1].rewrite or 0.0)
