"""What does `fix` hand to scripts, and what does it ask its user?"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ga_lint.config import Config
from ga_lint.engine import propose
from ga_lint.engine.check_file import check_source
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.engine.scope import Scope
from ga_lint.outcome import FileOutcome, Found
from ga_lint.project import Project
from ga_lint.source import SourceFile
from testbed.fixtures import FIXTURES
from testbed.shell import HIT, environment, ga_lint, write

UNSAFE = (FIXTURES / "GA102-undivided-accumulation" / "fabric.py").read_text()
MARK = "fabric.backward(loss)"
FIXED = UNSAFE.replace(MARK, "fabric.backward(loss / steps)")


def test_what_is_left_has_its_edits(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": UNSAFE})
    ran = ga_lint("fix", "--no-verify", "--output-format", "json", cwd=tmp_path)
    assert ran.code == 1
    [left] = json.loads(ran.out)
    assert "--unsafe-fixes" in left["fix_refusal"]
    assert left["verified"] is None
    lines = UNSAFE.splitlines(keepends=True)
    for edit in reversed(left["fix"]["edits"]):
        lines[edit["location"]["row"] - 1 : edit["end_location"]["row"] - 1] = [edit["content"]]
    assert "".join(lines) == FIXED
    assert (tmp_path / "a.py").read_text() == UNSAFE


@pytest.mark.parametrize("judgement", [Judgement.UNKNOWN, Judgement.REFUTED])
def test_what_is_left_has_the_numeric_checks_word(judgement: Judgement, tmp_path: Path) -> None:
    def confirm(trial: Trial) -> Answer:
        assert trial.after.text == FIXED
        return Answer(judgement, "it said so")

    scope = Scope(Config(root=tmp_path), Project(tmp_path))
    outcome, _ = fix_bytes(tmp_path / "a.py", UNSAFE.encode(), scope, Policy(confirm=confirm, write=False))
    assert isinstance(outcome, Found)
    [left] = outcome.diagnostics
    assert left.verified == judgement.value
    assert "it said so" in (left.finding.fix_refusal or "")
    assert bool(left.edits) is (judgement is Judgement.UNKNOWN)  # a refuted rewrite is offered to nobody


@pytest.mark.parametrize("judgement", Judgement)
def test_each_text_is_looked_at_once(judgement: Judgement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text that a rewrite leaves is the next one's beginning; without one the beginning stays what it was."""
    looked: list[str] = []

    def look(source: SourceFile, scope: Scope) -> FileOutcome:
        looked.append(source.text)
        return check_source(source, scope)

    monkeypatch.setattr(propose, "check_source", look)
    two = UNSAFE + "\n\n" + UNSAFE.replace("def train", "def train_again")
    scope = Scope(Config(root=tmp_path), Project(tmp_path))
    policy = Policy(unsafe=True, confirm=lambda _: Answer(judgement), write=False)
    _, rewriting = fix_bytes(tmp_path / "a.py", two.encode(), scope, policy)
    assert rewriting is not None
    assert len(rewriting.applied) == (0 if judgement is Judgement.REFUTED else 2)
    assert len(looked) == len({two, *looked}) - 1 == 2  # the first text was looked at before


@dataclass(frozen=True)
class Asked:
    """One run on a terminal."""

    code: int
    screen: str


def on_a_terminal(answers: Sequence[str], folder: Path) -> Asked:
    """`fix --ask` with these lines typed ahead; the end of the answers is the end of the input."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "ga_lint", "fix", "--ask", "--no-verify", "--color", "never"]
    process = subprocess.Popen(words, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment())
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode() + b"\x04")
    screen = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        screen += read
    os.close(ours)
    return Asked(process.wait(timeout=60), screen.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize(
    ("answers", "rewritten"),
    [
        (["y", "n", "y"], "ac"),
        (["n", "a"], "bc"),
        (["y", "q"], "a"),
        (["y"], "a"),  # the end of the input
        (["what?", "yes", "", "no"], "a"),
        (["all"], "abc"),
    ],
)
def test_each_answer_is_obeyed(answers: list[str], rewritten: str, tmp_path: Path) -> None:
    files = {"a.py": UNSAFE, "b.py": UNSAFE, "c.py": UNSAFE}
    write(tmp_path, files)
    asked = on_a_terminal(answers, tmp_path)
    done = "".join(name[0] for name in files if (tmp_path / name).read_text() == FIXED)
    assert done == rewritten, asked.screen
    assert all((tmp_path / name).read_text() in (UNSAFE, FIXED) for name in files)
    assert f"rewrote {len(rewritten)} finding" in asked.screen
    assert asked.code == (0 if len(rewritten) == len(files) else 1)


def test_the_question_shows_the_diff(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": UNSAFE, "b.py": HIT})
    asked = on_a_terminal(["n", "n"], tmp_path)
    assert f"-            {MARK}" in asked.screen
    assert "+            fabric.backward(loss / steps)" in asked.screen
    assert "\nunsafe\nRewrite it? [y/n/all/quit] " in asked.screen
    assert "\nsafe\nRewrite it? [y/n/all/quit] " in asked.screen
    assert "declined" in asked.screen


def test_the_question_shows_a_notebook_cell_by_cell(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": source} for source in ("import os", UNSAFE)]
    write(tmp_path, {"n.ipynb": json.dumps({"cells": cells})})
    asked = on_a_terminal(["n"], tmp_path)
    row = UNSAFE[: UNSAFE.index(MARK)].count("\n") + 1
    assert f"n.ipynb:cell 1:{row}: " in asked.screen
    assert "--- a/n.ipynb:cell 1\n" in asked.screen and "cell 0" not in asked.screen
    assert f"-            {MARK}" in asked.screen and "cell_type" not in asked.screen


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--ask"], "needs a terminal"), (["--ask", "--diff"], "give one"), (["--ask", "-"], "needs a terminal")],
)
def test_questions_need_somebody(words: list[str], message: str, tmp_path: Path) -> None:
    ran = ga_lint("fix", *words, cwd=tmp_path)
    assert ran.code == 2
    assert message in ran.err
