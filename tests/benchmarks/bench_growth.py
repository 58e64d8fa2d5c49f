"""What does twice as much code cost, what do imports across files, and what does a rewrite?

    python tests/benchmarks/bench_growth.py

Some fixtures, copied 1, 2, 4 and 8 times: processor time, and its distance to linear growth. 5,000 generated modules of
which 1,000 hold a loop, whose loss stands in the same file, or behind chains of re-exports in a tangle of imports. The
rewrites of all fixtures, and of 50 kB trainers with a loop at their end, over the check of them.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench_check import found_trainers
from timing import ROOT, Row, compare, ga_lint, peak, took

REAL = ("GA101", "GA207", "GA213")  # fixtures that are copied
MODULES, CANDIDATES, STEP = 5_000, 1_000, 20  # chains of up to 200 modules
LOSS = """\
import torch.nn.functional as F


def loss_of(model, batch):
    logits = model(batch["input_ids"]).logits
    return F.cross_entropy(logits.view(-1, 10), batch["labels"].view(-1), ignore_index=-100)
"""
LOOP = """

def train(model, loader, optimizer):
    for step, batch in enumerate(loader):
        loss = loss_of(model, batch) / 4
        loss.backward()
        if (step + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


def growth(folder: Path, runs: int = 3) -> Iterator[Row]:
    trees = {copies: folder / f"copies_{copies}" for copies in (0, 1, 2, 4, 8)}
    for copies, tree in trees.items():
        for number in range(copies):
            for code in REAL:
                (found,) = (ROOT / "fixtures").glob(f"{code}-*")
                shutil.copytree(found, tree / f"copy_{number}" / code)
        tree.mkdir(exist_ok=True)
        (tree / "filler.py").write_text("#" * 1_000_000)  # a small tree is parsed whole
    command = ga_lint("check", "--isolated", "--quiet", "--no-cache", "--jobs", "1", ".")
    # All sizes in turn: what slows the machine down for a minute slows each of them down.
    rounds = [{copies: took(command, tree).cpu for copies, tree in trees.items()} for _ in range(runs)]
    times = {copies: statistics.median(each[copies] for each in rounds) for copies in trees}
    for copies in (2, 4, 8):
        linear = (times[copies] - times[0]) / (times[1] - times[0]) / copies
        yield Row(f"{copies} times the code, over nothing: of {copies} times the cost", linear, "", "0.9 to 1.1")


def across(folder: Path, runs: int = 3) -> Iterator[Row]:
    alone, tangled = folder / "alone", folder / "tangled"
    choose = random.Random(1)
    for tree in (alone, tangled):
        (tree / "pkg").mkdir(parents=True)
        (tree / "pkg" / "__init__.py").write_text("")
    for number in range(MODULES):
        name = f"pkg/m{number}.py"
        (alone / name).write_text(LOSS + LOOP if number < CANDIDATES else _filler(number))
        if number < CANDIDATES:
            target = choose.randrange(CANDIDATES, MODULES)
            (tangled / name).write_text(f"from pkg.m{target} import loss_of\n{LOOP}")
        elif number == MODULES - 1:
            (tangled / name).write_text(f"from pkg.m{CANDIDATES} import helper_{CANDIDATES}\n{LOSS}")
        else:
            further, before = min(number + STEP, MODULES - 1), max(CANDIDATES, number - 1)
            lines = f"from pkg.m{further} import loss_of\nfrom pkg.m{before} import helper_{before}\n"
            (tangled / name).write_text(lines + _filler(number))
    command = ga_lint("check", "--isolated", "--quiet", "--no-cache", "--jobs", "1")
    ours, theirs = (*command, str(tangled)), (*command, str(alone))
    what = f"{MODULES:,} modules, {CANDIDATES:,} loops whose loss is behind chains and cycles of imports"
    yield compare(what, ours, "each in its file", theirs, folder, goal="at most 3", runs=runs)
    yield Row(f"{what}: memory", peak(ours, folder), "MB", "at most 150 MB")


def _filler(number: int) -> str:
    return f"\n\ndef helper_{number}(x):\n    return x + {number}\n"


def rewriting(folder: Path, runs: int = 3) -> Iterator[Row]:
    """What `fix` adds to `check`, for each file that it rewrites; the numeric check apart."""
    small, large = folder / "fixable", folder / "trainers to fix"
    shutil.copytree(ROOT / "fixtures", small, ignore=shutil.ignore_patterns("*.fixed.py"))
    yield _extra("fix, per rewritten file over check: fixtures", small, runs)
    large.mkdir()
    loop = (LOSS + LOOP).replace("loss_of", "the_loss").replace("def train", "def train_by_hand")
    for number, path in enumerate(found_trainers()):
        (large / f"trainer_{number}.py").write_text(f"{path.read_text()}\n\n{loop}")
    if any(large.iterdir()):
        yield _extra("fix, per rewritten file over check: trainers of 50 kB", large, runs)


def _extra(what: str, tree: Path, runs: int) -> Row:
    check = ga_lint("check", "--isolated", "--quiet", "--no-cache", "--jobs", "1", ".")
    fix = ga_lint("fix", "--isolated", "--quiet", "--no-verify", "--unsafe-fixes", "--diff", ".")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(fix, cwd=tree, capture_output=True, check=False, env=environment)
    rewritten = done.stdout.count(b"\n--- ") + done.stdout.startswith(b"--- ")
    extra = statistics.median(took(fix, tree).cpu - took(check, tree).cpu for _ in range(runs))
    return Row(f"{what} ({rewritten})", extra / max(rewritten, 1) * 1000, "ms", "at most 60 ms")


def rows(folder: Path, runs: int = 3) -> Iterator[Row]:
    for part in (growth, across, rewriting):
        yield from part(folder, runs)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for row in rows(Path(name)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
