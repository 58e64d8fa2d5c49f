"""How fast is `ga-lint check`, measured against something else in the same minute?

    python tests/benchmarks/bench_check.py [FOLDER ...]

Ratios: twenty files against `python -c pass`; the whole installed transformers package against `ruff check --select F`
on the same copy, without a cache and with both tools' caches warm, and against `rg -l` or grep, which only search; a
tree of training code (trl, peft, accelerate and the FOLDERs side by side) likewise. Each is the median of interleaved
runs.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from timing import NOTHING, RUFF, Command, Row, compare, ga_lint, peak

TRAINING = "trl peft accelerate".split()
WORD = "gradient_accumulation"
SEARCH: tuple[str, Command] = (
    ("rg -l", ("rg", "-l", "--type", "py", "--no-ignore", WORD, "."))
    if shutil.which("rg")
    else ("grep -rl", ("grep", "-rl", "--include=*.py", WORD, "."))
)
SMALL = """\
import torch


def evaluate(model, loader):
    total = 0.0
    for batch in loader:
        with torch.no_grad():
            total += float(model(**batch).logits.mean())
    return total
"""


def few(folder: Path, runs: int = 5) -> Iterator[Row]:
    """Twenty files, as pre-commit hands them over."""
    small, large = folder / "small", folder / "trainers"
    small.mkdir()
    for number in range(20):
        (small / f"module_{number}.py").write_text(SMALL)
    yield _named("20 small files", small, "150 ms", runs)
    if trainers := found_trainers():
        large.mkdir()
        for number, path in enumerate(trainers):
            shutil.copyfile(path, large / f"trainer_{number}.py")
        size = sum(path.stat().st_size for path in trainers) // len(trainers) // 1000
        yield _named(f"{len(trainers)} trainers of about {size} kB each", large, "250 ms", runs)


def _named(what: str, folder: Path, goal: str, runs: int) -> Row:
    names = sorted(path.name for path in folder.iterdir())
    ours = ga_lint("check", "--no-cache", *names)
    return compare(what, ours, "`python -c pass`", NOTHING, folder, goal=goal, unit="ms", runs=runs)


def found_trainers() -> Sequence[Path]:
    """Twenty of trl's files that are about 50 kB long."""
    package = _package("trl")
    paths = package.rglob("*_trainer.py") if package is not None else ()
    return sorted(paths, key=lambda path: abs(path.stat().st_size - 50_000))[:20]


def many(folder: Path, what: str, trees: Sequence[Path], runs: int = 5) -> Iterator[Row]:
    """Whole trees, copied: where they are installed, ruff excludes them."""
    large = folder / f"of {what}"
    for tree in trees:
        shutil.copytree(tree, large / tree.name, ignore=shutil.ignore_patterns("__pycache__", "*.so", ".git"))
    sizes = [path.stat().st_size for path in large.rglob("*.py")]
    what = f"{what}: {len(sizes):,} files, {sum(sizes) / 1e6:.0f} MB"
    check = ga_lint("check", "--isolated", "--quiet")
    cold, warm = (*check, "--no-cache", "."), (*check, ".")
    yield compare(f"{what}, no cache", cold, "ruff", (*RUFF, "--no-cache", "."), large, goal="at most 1.0", runs=runs)
    yield compare(f"{what}, caches warm", warm, "ruff", (*RUFF, "."), large, goal="at most 1.0", runs=runs)
    yield compare(f"{what}, no cache", cold, f"`{SEARCH[0]}`", SEARCH[1], large, goal="the limit", runs=runs)
    yield Row(f"{what}: memory, all processes", peak(cold, large), "MB", "at most 150 MB")


def trees(folders: Sequence[Path]) -> Iterator[tuple[str, Sequence[Path]]]:
    """What there is to measure on, by name."""
    package = _package("transformers")
    if package is None:
        print("transformers is not installed: no large tree to measure on")
    else:
        yield "transformers", [package]
    training = [*filter(None, map(_package, TRAINING)), *folders]
    if training:
        yield ", ".join(path.name for path in training), training


def _package(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin else None


def rows(folder: Path, folders: Sequence[Path], runs: int = 5) -> Iterator[Row]:
    yield from few(folder, runs)
    for what, found in trees(folders):
        yield from many(folder, what, found, runs)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for row in rows(Path(name), [Path(word) for word in sys.argv[1:]]):
            print(row, flush=True)


if __name__ == "__main__":
    main()
