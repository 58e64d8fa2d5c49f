"""How are two commands timed against each other, so that a busy machine slows both?"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Command = Sequence[str]
RUFF = (sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "--quiet")
NOTHING = (sys.executable, "-c", "pass")


def ga_lint(*words: str) -> Command:
    return (sys.executable, "-m", "ga_lint", *words)


@dataclass(frozen=True)
class Took:
    """One run: by the clock, and by the processors of it and its children, in seconds."""

    wall: float
    cpu: float


def took(command: Command, cwd: Path) -> Took:
    """Run it once, with byte code kept as in an installation."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), os.times().elapsed
    subprocess.run(
        command, cwd=cwd, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False, timeout=900
    )
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), os.times().elapsed
    return Took(ended - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compare(what: str, ours: Command, theirs: Command, cwd: Path, runs: int = 5) -> None:
    """Print the medians of both and their ratios; what was cached by either before the first run stays so."""
    took(ours, cwd), took(theirs, cwd)
    pairs = [(took(ours, cwd), took(theirs, cwd)) for _ in range(runs)]
    texts = []
    for kind in ("wall", "cpu"):
        a, b = (statistics.median(getattr(one[index], kind) for one in pairs) for index in (0, 1))
        texts.append(f"{kind} {a * 1000:.0f} ms against {b * 1000:.0f} ms, ratio {a / b:.2f}")
    print(f"{what}: {'; '.join(texts)}")


def peak(command: Command, cwd: Path) -> float:
    """The most memory of any one of its processes, in MB: asked in a process that starts nothing else."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout) / 1024
