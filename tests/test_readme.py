"""Is every command, output and number in the README true today?"""

from __future__ import annotations

import pytest

from testbed import readme

TEXT = readme.README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_outputs_and_tables_are_what_the_program_prints() -> None:
    assert readme.without_noise(readme.regenerated(TEXT)) == readme.without_noise(TEXT), (
        "run `python tests/testbed/readme.py`"
    )


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
