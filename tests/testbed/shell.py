"""How does a test use the command line? As a process of its own, in a folder that the test chooses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.fixtures import FIXTURES, ROOT

BROKEN = "def f(:\n"  # one GA001
HIT = (FIXTURES / "GA103-double-division" / "plugin_and_division.py").read_text()  # one GA103, certain, safely fixable
OF_CI = ("GITHUB_", "GITLAB_", "CI_PROJECT_", "TF_BUILD", "BUILD_SOURCES", "FORCE_COLOR", "NO_COLOR")  # they begin so
TERMINAL = "xterm-256color"  # whatever runs the tests: a dumb one has no colours


@dataclass(frozen=True)
class Ran:
    """What one command printed, and how it ended."""

    code: int
    out: str
    err: str


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Lay files down, with the folders that they need."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def environment(**more: str) -> dict[str, str]:
    """For a process that runs this checkout, without the colours and annotations that a CI would ask for."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(OF_CI)}
    return {**clean, "TERM": TERMINAL, "PYTHONPATH": str(ROOT), **more}


def ga_lint(
    *words: str, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, seconds: float = 120
) -> Ran:
    """Run a command line as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "ga_lint", *words],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=False,
        env=environment(**(env or {})),
        timeout=seconds,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
