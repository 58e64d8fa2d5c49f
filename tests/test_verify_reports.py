"""Does one run of `ga-lint verify` write every form of its report, and do they say the same?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from junitparser import JUnitXml

from ga_lint.verify.sweep import STEPS
from testbed import browser
from testbed.fixtures import FIXTURES
from testbed.pages_html import Element, read
from testbed.sarif import validate
from testbed.shell import Ran, ga_lint, write

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verify_reports")]  # what is set up once stays in one process
pytest.importorskip("torch")
pytest.importorskip("transformers")

# `check` does not follow the hook that weighs each micro-batch by its count; the numbers do.
HOOKED = """
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq


def divided(optimizer, counts):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad /= sum(counts)


def train(model, dataset, tokenizer, optimizer, accumulation_steps=8):
    loader = DataLoader(dataset, batch_size=1, collate_fn=DataCollatorForSeq2Seq(tokenizer))
    counts = []
    for step, batch in enumerate(loader, 1):
        outputs = model(**batch)
        counts.append(int((batch["labels"][:, 1:] != -100).sum()))
        outputs.loss.register_hook(lambda grad, count=counts[-1]: grad * count * accumulation_steps)
        loss = outputs.loss / accumulation_steps
        loss.backward()
        if step % accumulation_steps == 0:
            divided(optimizer, counts)
            optimizer.step()
            optimizer.zero_grad()
            counts.clear()
"""
OUTPUTS = ("json:r.json", "sarif:r.sarif", "junit:r.xml", "github:r.txt", "full:r.full")
Site = Mapping[str, object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    trainer = (FIXTURES / "verify" / "trainer_token_loss.py").read_bytes()
    lengths = "".join(f'{{"n": {count}}}\n' for count in (3, 15, 40, 200, 7, 90))
    write(folder, {"hooked.py": HOOKED, "trainer.py": trainer, "n.jsonl": lengths})
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    outputs = [word for output in OUTPUTS for word in ("--output", output)]
    training = ["--impact", "n.jsonl", "--field", "n", "--accumulation-steps", "8", "--batch-size", "2"]
    words = ["verify", "--report", "page.html", *outputs, *training, "--timeout", "60"]
    return ga_lint(*words, cwd=folder, env={"COLUMNS": "80", "GITHUB_ACTIONS": "true"})


@pytest.fixture(scope="module")
def sites(ran: Ran, folder: Path) -> dict[str, Site]:
    assert ran.code == 1, ran.err
    return {site["filename"]: site for site in json.loads((folder / "r.json").read_text())}


def test_stdout_has_the_table_and_the_annotations_of_a_ci(ran: Ran, folder: Path) -> None:
    table, annotations = ((folder / name).read_text() for name in ("r.full", "r.txt"))
    assert ran.out.startswith("::group::ga-lint\n::stop-commands::")
    assert table in ran.out
    assert ran.out.endswith(f"::endgroup::\n{annotations}")
    assert table.startswith("verdict           R1       R2       R4       factor  site\ncorrect ")
    assert "  GA101 [mean-of-means] of line 19 is withdrawn\n" in table
    assert ran.err.splitlines() == ["report: page.html", "2 files checked"]


def test_json(sites: dict[str, Site]) -> None:
    assert {name: site["outcome"] for name, site in sites.items()} == {
        "hooked.py": "correct",
        "trainer.py": "confirmed",
    }
    assert [finding["withdrawn"] for finding in sites["hooked.py"]["findings"]] == [True]  # type: ignore[attr-defined]
    assert [finding["withdrawn"] for finding in sites["trainer.py"]["findings"]] == [False]  # type: ignore[attr-defined]


def test_the_measured_law_gives_the_impact(sites: dict[str, Site]) -> None:
    impact = sites["trainer.py"]["impact"]
    assert isinstance(impact, dict)
    assert (impact["factor"], impact["scale"], impact["mean_of_means"]) == ("GAS", 8, True)
    assert sites["hooked.py"]["impact"] is None


def test_the_sweep(sites: dict[str, Site]) -> None:
    faulty, right = sites["trainer.py"]["sweep"], sites["hooked.py"]["sweep"]
    assert isinstance(faulty, dict) and isinstance(right, dict)
    for sweep in (faulty, right):
        assert [point["value"] for point in sweep["steps"]] == list(STEPS)
        assert not [point["failure"] for key in ("steps", "skew") for point in sweep[key] if point["failure"]]
    errors = [point["original"] for point in faulty["steps"]]
    assert errors[0] < 1e-12 and errors[1:] == sorted(errors[1:]) and errors[1] > 1  # it grows with the steps
    assert all(point["rewrite"] < 1e-12 for key in ("steps", "skew") for point in faulty[key])
    assert all(point["original"] < 1e-12 for key in ("steps", "skew") for point in right[key])
    (ragged,) = [run for run in _runs(sites["trainer.py"]) if (run["name"], run["setting"]) == ("R1", "count passed")]
    assert errors[2] == ragged["relative_error"]  # the same rows and steps
    for parameter in faulty["parameters"]:
        assert parameter["original"] > 0.1 > 1e-12 > parameter["rewrite"]
        assert all(entry[2] == pytest.approx(entry[0], abs=1e-12) for entry in parameter["entries"])


def _runs(site: Site) -> list[dict[str, object]]:
    runs = site["runs"]
    assert isinstance(runs, list)
    return runs


def test_the_other_formats(folder: Path, ran: Ran) -> None:
    sarif = json.loads((folder / "r.sarif").read_text())
    validate(sarif)
    kinds = {result["properties"]["outcome"]: result["kind"] for result in sarif["runs"][0]["results"]}
    assert kinds == {"correct": "pass", "confirmed": "fail"}
    junit = JUnitXml.fromstring((folder / "r.xml").read_bytes())
    assert (junit.tests, junit.failures) == (2, 1)
    levels = [line.split(" ")[0] for line in (folder / "r.txt").read_text().splitlines()]
    assert levels == ["::warning", "::notice"]


def _check_page(page: Element, sites: dict[str, Site]) -> None:
    for section in page.all("section", class_="site"):
        name = next(section.all("h2")).text.split(":")[0]
        site = sites[name]
        assert next(section.all("span", class_="badge")).text.split(maxsplit=1)[1] == site["outcome"]
        runs = next(table for table in section.all("table") if "allowed" in table.text)
        errors = [[cell.text for cell in row.all("td")][3] for row in runs.all("tr") if list(row.all("td"))]
        assert errors == [f"{run['relative_error']:.2g}" for run in _runs(site)]
        diff = site["diff"]
        if isinstance(diff, str):
            (shown,) = (block for block in section.all("pre") if "@@" in block.text)
            lines = [line.text.rstrip() for line in shown.all("span")]
            assert lines == [line.rstrip() for line in diff.splitlines()]
        assert len(list(section.all("svg", role="img"))) == (5 if site["impact"] else 4)


def test_the_page(folder: Path, sites: dict[str, Site]) -> None:
    page = read((folder / "page.html").read_text())
    assert len(list(page.all("section", class_="site"))) == len(sites)
    _check_page(page, sites)


@pytest.mark.skipif(browser.chromium() is None, reason=browser.WHY_NOT)
def test_the_page_in_chromium(folder: Path, sites: dict[str, Site], tmp_path: Path) -> None:
    _check_page(read(browser.run(folder / "page.html", "--dump-dom", profile=tmp_path / "profile")), sites)


def test_quiet_says_nothing_where_nothing_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x = 1\n"})
    ran = ga_lint("verify", "--quiet", cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "", "1 file checked\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--report", "page"], "--report writes a page of HTML; name it so: page.html"),
        (["--output", "pylint:x"], "--output takes FORMAT:FILE with one of full, json, github, sarif, junit, html"),
        (["--output-format", "pylint"], "--output-format: 'pylint' is not one of auto, full, json, github, sarif"),
    ],
)
def test_a_mistake_costs_no_run(folder: Path, words: list[str], message: str) -> None:
    ran = ga_lint("verify", *words, cwd=folder)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {message}")
    assert ran.err.count("\n") == 1


def test_a_report_to_an_impossible_place(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x = 1\n"})
    ran = ga_lint("verify", "--report", "no/page.html", cwd=tmp_path)
    assert ran.code == 2
    assert ran.err == "error: --report: no/page.html cannot be written: no folder no\n"
