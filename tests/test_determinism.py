"""Is what is printed the same, byte for byte, whatever the hash seed and the order of the paths?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from testbed.fixtures import ROOT

FOLDERS = sorted(path.name for path in (ROOT / "fixtures").iterdir() if path.is_dir())
# The seeds are fixed, so that a failure can be seen again. 0 switches the randomisation off.
SEEDS = ("0", "20260101")
COMMANDS = {
    "check": ["check", "--min-confidence", "possible", "--output-format", "json"],
    "fix": ["fix", "--diff", "--no-verify", "--unsafe-fixes"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_output_is_the_same_under_every_hash_seed(command: str) -> None:
    orders = [FOLDERS, FOLDERS[::-1]]
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "ga_lint", *COMMANDS[command], "--isolated", *order],
            cwd=ROOT / "fixtures",
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed, order in zip(SEEDS, orders, strict=True)
    ]
    first, other = [run.communicate(timeout=600) for run in runs]
    assert len(first[0]) > 100_000  # there was much to say
    assert all(run.returncode == 1 for run in runs), first[1].decode()
    assert other == first


@pytest.mark.slow
def test_verdicts_are_the_same_under_every_hash_seed() -> None:
    pytest.importorskip("torch")
    files = ["verify/loss_function.py", "verify/loop_own_loss.py", "verify/loop_own_loss.fixed.py"]
    runs = [
        subprocess.run(
            [sys.executable, "-m", "ga_lint", "verify", "--isolated", "--output-format", "json", *order],
            cwd=ROOT / "fixtures",
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
            timeout=600,
        )
        for seed, order in zip(SEEDS, [files, files[::-1]], strict=True)
    ]
    assert runs[0].stdout.count(b'"outcome"') == 3, runs[0].stderr.decode()
    assert runs[0].stdout == runs[1].stdout
