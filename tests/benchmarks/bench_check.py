"""How fast is `ga-lint check`, measured against something else in the same minute?

    python tests/benchmarks/bench_check.py [FOLDER]

Ratios: twenty files against `python -c pass`; the whole installed transformers package, or FOLDER, against
`ruff check --select F` on the same copy, without a cache and with both tools' caches warm, and against `grep -rl`.
Each is the median of interleaved runs.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

from timing import NOTHING, RUFF, compare, ga_lint, peak

SMALL = """\
import torch


def evaluate(model, loader):
    total = 0.0
    for batch in loader:
        with torch.no_grad():
            total += float(model(**batch).logits.mean())
    return total
"""


def few(folder: Path) -> None:
    """Twenty files, as pre-commit hands them over."""
    small, trainers = folder / "small", folder / "trainers"
    small.mkdir()
    for number in range(20):
        (small / f"module_{number}.py").write_text(SMALL)
    names = sorted(path.name for path in small.iterdir())
    compare("20 small files against `python -c pass`", ga_lint("check", "--no-cache", *names), NOTHING, small)
    package = _package("trl")
    if package is not None:
        trainers.mkdir()
        found = sorted(package.rglob("*_trainer.py"), key=lambda path: abs(path.stat().st_size - 50_000))[:20]
        for number, path in enumerate(found):
            shutil.copyfile(path, trainers / f"trainer_{number}.py")
        names = sorted(path.name for path in trainers.iterdir())
        size = sum(path.stat().st_size for path in trainers.iterdir()) // len(names) // 1000
        what = f"{len(names)} trainers of about {size} kB each against `python -c pass`"
        compare(what, ga_lint("check", "--no-cache", *names), NOTHING, trainers)


def many(folder: Path, tree: Path) -> None:
    """A whole tree, copied: where it is installed, ruff excludes it."""
    large = folder / "tree"
    shutil.copytree(tree, large, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    check = ga_lint("check", "--isolated", "--quiet")
    cold, warm = (*check, "--no-cache", "."), (*check, ".")
    compare(f"{tree.name} against ruff, no cache", cold, (*RUFF, "--no-cache", "."), large)
    compare(f"{tree.name} against ruff, both caches warm", warm, (*RUFF, "."), large)
    compare(
        f"{tree.name} against grep -rl", cold, ("grep", "-rl", "--include=*.py", "gradient_accumulation", "."), large
    )
    print(f"{tree.name}: peak {peak(cold, large):.0f} MB in the largest process")


def _package(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin else None


def main() -> None:
    tree = Path(sys.argv[1]) if len(sys.argv) > 1 else _package("transformers")
    with tempfile.TemporaryDirectory() as name:
        few(Path(name))
        if tree is None:
            print("transformers is not installed: no large tree to measure on")
        else:
            many(Path(name), tree)


if __name__ == "__main__":
    main()
