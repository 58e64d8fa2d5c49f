"""How fast is `ga-lint check`, measured against something else in the same minute?

    python tests/benchmarks/bench_check.py

Two ratios: the whole installed transformers package against `ruff check --select F --no-cache` on the same copy, and
twenty small files against `python -c pass`. Each is the median of interleaved runs, so that a busy machine slows both.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNS = 7
SMALL = """\
import torch


def evaluate(model, loader):
    total = 0.0
    for batch in loader:
        with torch.no_grad():
            total += float(model(**batch).logits.mean())
    return total
"""
Command = Sequence[str]


def seconds(command: Command, cwd: Path) -> float:
    started = time.perf_counter()
    subprocess.run(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False, timeout=600
    )
    return time.perf_counter() - started


def compare(what: str, ours: Command, theirs: Command, cwd: Path) -> None:
    """Print the medians of both, and their ratio."""
    seconds(ours, cwd), seconds(theirs, cwd)  # caches of the file system, byte code
    pairs = [(seconds(ours, cwd), seconds(theirs, cwd)) for _ in range(RUNS)]
    a, b = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{what}: {a * 1000:.0f} ms against {b * 1000:.0f} ms, ratio {a / b:.2f}")


def main() -> None:
    check = [sys.executable, "-m", "ga_lint", "check", "--isolated", "--quiet", "."]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder, "small")
        small.mkdir()
        for number in range(20):
            (small / f"module_{number}.py").write_text(SMALL)
        compare("20 small files against `python -c pass`", check, [sys.executable, "-c", "pass"], small)
        package = importlib.util.find_spec("transformers")
        if package is None or package.origin is None:
            print("transformers is not installed: no large tree to measure on")
            return
        # A copy: where it is installed, ruff excludes it.
        large = Path(folder, "transformers")
        shutil.copytree(Path(package.origin).parent, large, ignore=shutil.ignore_patterns("__pycache__"))
        ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "--no-cache", "--quiet", "."]
        compare("the transformers package against ruff", check, ruff, large)


if __name__ == "__main__":
    main()
