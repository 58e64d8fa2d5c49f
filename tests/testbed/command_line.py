"""What does a command line do, seen from outside, in a world where every option has something to change?"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pytest

from ga_lint.cli import fix, verify
from ga_lint.cli.main import main
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.verify import Outcome, Run, Settings, Site, Verdict
from testbed.shell import BROKEN, HIT, OF_CI, TERMINAL, write

GUESSED = """\
import torch.nn.functional as F


def train(model, loader, optimizer, accum):
    for step, (x, y) in enumerate(loader):
        (F.cross_entropy(model(x), y) / accum).backward()
        if (step + 1) % accum == 0:
            optimizer.step()
            optimizer.zero_grad()
"""  # one GA101, possible
TRAINER = """\
from transformers import Trainer


class Ours(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        return model(**inputs).loss
"""  # GA201 from 4.46 on
WORLD = {
    "hit.py": HIT,  # GA103, certain, error, safely fixable
    "old.py": HIT,  # the same, known to the baseline and unchanged since the first commit
    "guessed.py": GUESSED,
    "trainer.py": TRAINER,
    "unused.py": "x = 1  # ga-lint: ignore[GA101]\n",  # GA002, info, safely fixable
    "quiet.py": HIT.replace("# expect: GA103", "# ga-lint: ignore[GA103]"),
    "clean.py": "x = 1\n",
    "build/excluded.py": HIT,
    "off/other.py": HIT,
    "ignored.py": HIT,
    ".gitignore": "ignored.py\n",
    "pyproject.toml": '[tool.ga-lint]\nignore = ["GA001"]\nextend-exclude = ["off"]\n',
    "other.toml": 'ignore = ["GA103"]\n',
    "broken.py": BROKEN,
    "counts.jsonl": '{"n": 3}\n{"n": 40}\n',
}


def build_world(folder: Path) -> None:
    """A repository with one commit, a baseline with a stale entry, and a change since."""
    write(folder, {**WORLD, "gone.py": HIT, "hit.py": "x = 1\n"})
    for words in ("init -q -b main --template=", "add .", "-c user.name=t -c user.email=t commit -q -m x"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    here = os.getcwd()
    os.chdir(folder)
    try:
        main(["check", "-q", "--select=GA103", "--baseline=known.json", "--update-baseline", "gone.py", "old.py"])
    finally:
        os.chdir(here)
    (folder / "gone.py").unlink()
    write(folder, {"hit.py": HIT})


@dataclass(frozen=True)
class Done:
    """What one command line left behind."""

    code: int
    out: str
    err: str
    files: Mapping[str, bytes]

    @property
    def text(self) -> str:
        """Everything that could be read afterwards."""
        texts = [self.out, self.err, *(data.decode(errors="replace") for data in self.files.values())]
        return "\n".join([*texts, " ".join(self.out.split())])  # what was wrapped is one line there


class Shell:
    """Runs command lines in this process, with torch replaced by something that says what it was told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._patch = monkeypatch
        self._capsys = capsys
        for name in [name for name in os.environ if name.startswith(OF_CI)]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TERM", TERMINAL)
        monkeypatch.setattr(verify, "available", lambda *_: None)
        monkeypatch.setattr(fix, "available", lambda *_: None)
        monkeypatch.setattr(verify, "Verifier", _Telling)
        monkeypatch.setattr(fix, "Confirmer", _Unsure)

    def __call__(self, words: list[str], template: Path, stdin: str = "") -> Done:
        """Run a command in a new copy of the template."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(template, self._folder)
        self._patch.chdir(self._folder)
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        before = self._files()
        code = main(words)
        out, err = self._capsys.readouterr()
        files = {name: data for name, data in self._files().items() if before.get(name) != data}
        return Done(code, out, err, files)

    def _files(self) -> dict[str, bytes]:
        paths = (path for path in self._folder.rglob("*") if ".git" not in path.parts and path.is_file())
        return {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}


class _Telling:
    """A numeric check that answers with what it was told."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def verdicts(self, sites: list[Site]) -> Iterator[tuple[int, Verdict]]:
        for place, site in enumerate(sites):
            reason = f"{self._settings}, rewrite: {site.rewritten is not None}"
            yield place, Verdict(site, Outcome.INCONCLUSIVE, (Run("R1", "", 0.5, 0.9, "weight", 1e-9),), reason=reason)

    def swept(self, verdicts: Mapping[int, Verdict]) -> Iterator[tuple[int, Verdict]]:
        for place, verdict in verdicts.items():
            yield place, replace(verdict, assumptions=("swept",))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class _Unsure:
    """A numeric check that can't say."""

    def __init__(self) -> None:
        self.verdicts: dict[object, object] = {}

    def __call__(self, trial: Trial) -> Answer:
        return Answer(Judgement.UNKNOWN, "not run here")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...
