"""Is what is printed the same, byte for byte, whatever the hash seed, the order, the processes and the cache?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.expectations import read_expectations
from testbed.fixtures import ROOT, all_fixtures
from testbed.shell import environment

FOLDERS = sorted(path.name for path in (ROOT / "fixtures").iterdir() if path.is_dir())
# The seeds are fixed, so that a failure can be seen again. 0 switches the randomisation off.
SEEDS = ("0", "20260101")
FORMATS = "full concise grouped json-lines github gitlab sarif junit rdjson azure pylint markdown".split()
CHECK = "check --isolated --min-confidence possible --output-format json".split()
FIX = "fix --isolated --diff --no-verify --unsafe-fixes".split()


def start(words: list[str], seed: str, folders: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ga_lint", *words, *folders],
        cwd=ROOT / "fixtures",
        env=environment(PYTHONHASHSEED=seed),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def same(runs: Sequence[subprocess.Popen[bytes]]) -> bytes:
    """What all of them say on stdout; on stderr too they say the same."""
    said = [run.communicate(timeout=600) for run in runs]
    assert all(run.returncode == 1 for run in runs), said[0][1].decode()
    assert len(set(said)) == 1
    return said[0][0]


@pytest.mark.slow
def test_check_says_the_same(tmp_path: Path) -> None:
    """In every format, by one process and by two, without a cache, into one and out of it."""

    filler = tmp_path / "filler.py"  # fewer bytes are not shared between processes
    filler.write_text("#" * 1_000_000)

    def run(name: str, seed: str, folders: list[str], *words: str) -> subprocess.Popen[bytes]:
        (tmp_path / name).mkdir()
        outputs = [word for each in FORMATS for word in ("--output", f"{each}:{tmp_path / name / each}")]
        return start([*CHECK, *outputs, *words, str(filler)], seed, folders)

    kept = "--cache-dir", str(tmp_path / "cache")
    alone = run("alone", SEEDS[0], FOLDERS, "--no-cache", "--jobs", "1")
    cold = run("cold", SEEDS[1], FOLDERS[::-1], *kept, "--jobs", "2")
    said = same([alone, cold])
    assert same([run("warm", SEEDS[0], FOLDERS[1:] + FOLDERS[:1], *kept)]) == said
    assert len(said) > 100_000  # there was much to say
    assert list((tmp_path / "cache").glob("*.json"))
    assert not _differ_from_one_file_alone(json.loads(said))
    for name in FORMATS:
        texts = {(tmp_path / folder / name).read_bytes() for folder in ("alone", "cold", "warm")}
        assert len(texts) == 1, name


def _differ_from_one_file_alone(found: list[dict[str, Any]]) -> list[str]:
    """In one run over all of them each file gets what it is expected to get in its own small project."""
    together: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for one in found:
        if one["confidence"] != "possible":
            together[one["filename"]][one["location"]["row"], one["code"]] += 1
    return [
        f"{fixture}: {complaint}"
        for fixture in all_fixtures()
        for complaint in read_expectations(fixture.path).complaints(together[str(fixture)])
    ]


@pytest.mark.slow
def test_fix_says_the_same() -> None:
    """Of each fourth fixture: what becomes of every one is recorded, and each session has hash seeds of its own."""
    some = [str(fixture) for fixture in all_fixtures()[::4]]
    assert len(same([start(FIX, SEEDS[0], some), start(FIX, SEEDS[1], some[::-1])])) > 50_000


@pytest.mark.slow
def test_verdicts_are_the_same_under_every_hash_seed() -> None:
    pytest.importorskip("torch")
    files = ["verify/loss_function.py", "verify/loop_own_loss.py", "verify/loop_own_loss.fixed.py"]
    runs = [
        subprocess.run(
            [sys.executable, "-m", "ga_lint", "verify", "--isolated", "--output-format", "json", *order],
            cwd=ROOT / "fixtures",
            env=environment(PYTHONHASHSEED=seed),
            capture_output=True,
            check=False,
            timeout=600,
        )
        for seed, order in zip(SEEDS, [files, files[::-1]], strict=True)
    ]
    assert runs[0].stdout.count(b'"outcome"') == 3, runs[0].stderr.decode()
    assert runs[0].stdout == runs[1].stdout
