"""Is every command, output and number in the README true today?"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from ga_lint.config import read_config
from ga_lint.engine.scope import Scopes
from testbed import readme, record

TEXT = readme.README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_outputs_and_tables_are_what_the_program_prints() -> None:
    assert readme.without_noise(readme.regenerated(TEXT)) == readme.without_noise(TEXT), (
        "run `python tests/testbed/readme.py`"
    )


def test_the_benchmarks_are_those_that_were_recorded() -> None:
    """What `python tests/benchmarks/table.py` wrote down; how fast this machine is today is no question of a test."""
    (shown,) = re.findall(r"<!-- benchmarks -->\n(.*?)<!-- end -->", TEXT, re.DOTALL)
    assert shown == record.table(), "run `python tests/testbed/readme.py`"
    rows = [record.Row(**row) for row in record.record()["rows"]]
    assert any(row.peer == "ruff" for row in rows)


def test_the_library_answers_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme.write_files(TEXT, tmp_path)
    (session,) = readme.sessions(TEXT)
    example = doctest.DocTestParser().get_doctest(session, {}, "README.md", None, None)
    assert len(example.examples) > 5
    assert doctest.DocTestRunner().run(example).failed == 0


def test_the_settings_are_read_as_they_stand(tmp_path: Path) -> None:
    (text,) = re.findall(r"<!-- settings -->\n```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(text)
    config = read_config(tmp_path / "pyproject.toml", root=tmp_path)
    assert config is not None
    assert config.transformers_version == ">=4.53"
    Scopes().of(config)  # its rules, patterns and rows exist


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if not link.startswith("https://")]
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    assert len(links) > 30
    for link in links:
        path, _, anchor = link.partition("#")
        assert (readme.ROOT / path).exists(), link
        assert not anchor or anchor in headings, link


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    """.ci/run sets up the same extra and runs the same tests."""
    command = readme.commands(TEXT)["tests"]
    ci = (readme.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command.endswith(".venv/bin/python -m pytest -n auto")
    assert "-m pytest -n auto\n" in ci
    assert "'.[dev]'" in command
    assert "'.[dev]'" in ci


def test_the_main_job_runs_on_fixtures_that_are_there() -> None:
    command = readme.commands(TEXT)["main job"]
    folder = command.split("ga-lint $job ")[1].split(";")[0]
    assert any((readme.ROOT / folder).glob("*.py"))
