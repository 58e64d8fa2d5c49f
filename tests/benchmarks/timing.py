"""How are two commands timed against each other, so that a busy machine slows both?"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from testbed.record import Row as Row  # noqa: E402 - of this checkout

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


def compare(
    what: str, ours: Command, peer: str, theirs: Command, cwd: Path, *, goal: str = "", unit: str = "s", runs: int = 5
) -> Row:
    """The medians of interleaved runs of both; what was cached by either before the first run stays so."""
    took(ours, cwd), took(theirs, cwd)
    pairs = [(took(ours, cwd), took(theirs, cwd)) for _ in range(runs)]
    (wall, wall_theirs), cpu = (
        [statistics.median(getattr(pair[index], kind) for pair in pairs) for index in (0, 1)]
        for kind in ("wall", "cpu")
    )
    scale = 1000 if unit == "ms" else 1
    return Row(what, wall * scale, unit, goal, peer, wall_theirs * scale, (cpu[0], cpu[1]))


def peak(command: Command, cwd: Path) -> float:
    """The most memory of all its processes together, in MB: pages that they share count once. Linux only."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as started:
        most = 0.0
        while started.poll() is None:
            most = max(most, sum(map(_proportional, _group(started.pid))))
            time.sleep(0.02)
    return most


def _group(leader: int) -> list[int]:
    """The processes of a session that this one leads."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            found.append(int(folder.name))
    return found


def _proportional(process: int) -> float:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    sizes = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")]
    return sum(sizes) / 1024
