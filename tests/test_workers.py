"""Do several processes say what one says, and what becomes of a file that takes its process with it?"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ga_lint.config import ConfigFinder
from ga_lint.engine import run
from ga_lint.engine.discover import Target
from ga_lint.engine.look import Look, Looker
from ga_lint.engine.run import check
from ga_lint.outcome import Failed
from testbed.fixtures import FIXTURES
from testbed.shell import HIT, ga_lint, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SMALL", 0)
    monkeypatch.setattr(run, "SHARED", 0)


@pytest.mark.usefixtures("many")
def test_three_processes_say_what_one_says() -> None:
    folders = sorted(FIXTURES.iterdir())[::3]
    alone = check(folders, ConfigFinder(isolated=True))
    together = check(folders, ConfigFinder(isolated=True), jobs=3)
    assert together.outcomes == alone.outcomes
    assert together.diagnostics


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("how", ["killed", "ended"])
def test_a_file_that_ends_its_process_is_named(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {f"a{number:03}.py": HIT for number in range(40)})
    parent, at = os.getpid(), Looker.at

    def deadly(looker: Looker, target: Target) -> Look:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL) if how == "killed" else os._exit(7)
        return at(looker, target)

    monkeypatch.setattr(Looker, "at", deadly)
    report = check([Path()], ConfigFinder(), jobs=2)
    assert len(report.outcomes) == 40
    assert [outcome.path.name for outcome in report.outcomes] == [f"a{number:03}.py" for number in range(40)]
    assert sum(isinstance(outcome, Failed) for outcome in report.outcomes) <= 1
    assert all("ended the process" in failure.error for failure in report.failures)


@pytest.mark.usefixtures("many")
def test_a_wrong_configuration_is_told_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {f"a{number}.py": HIT for number in range(20)} | {"ga-lint.toml": 'select = ["GA999"]\n'})
    report = check([Path()], ConfigFinder(), jobs=2)
    assert len(report.outcomes) == 1
    assert "GA999" in report.failures[0].error


def test_a_number_of_processes_is_a_number(tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT})
    assert ga_lint("check", "--jobs", "2", "--no-cache", cwd=tmp_path).code == 1
    assert ga_lint("check", "--jobs", "none", cwd=tmp_path).code == 2
    assert ga_lint("check", "--jobs", "0", cwd=tmp_path).code == 2
