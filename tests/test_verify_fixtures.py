"""Does the numeric check of `fix` let every rewrite of the fixtures through? What it refutes there is a fault of ours.

One process rewrites all of them with one warm worker; a rewrite that it cannot run is none of this test's business.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from testbed.fixtures import FIXTURES
from testbed.shell import ga_lint

pytestmark = pytest.mark.slow
pytest.importorskip("torch")
pytest.importorskip("transformers")

# The terms beside the counted one are means over positions: each forward adds one, of the whole batch or of a quarter.
UNEQUAL_TERMS = {"sft_trainer.py GA201", "term_beside_super.py GA203"}
# It is written for a release before 4.54; in the one that is installed the factor of the ranks is owed.
OTHER_RELEASE = {"before_averaging.py GA212"}


def test_no_right_rewrite_is_refuted(tmp_path: Path) -> None:
    for folder in FIXTURES.glob("GA*-*"):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("*.fixed.py", "ok_*.py"))
    words = ("fix", "--isolated", "--unsafe-fixes", "--output-format", "json-lines", ".")
    ran = ga_lint(*words, cwd=tmp_path, seconds=600)
    left = [json.loads(line) for line in ran.out.splitlines()]
    refuted = {f"{Path(one['filename']).name} {one['code']}" for one in left if one["verified"] == "refuted"}
    assert refuted == UNEQUAL_TERMS | OTHER_RELEASE
    assert ran.err.count("; confirmed (") > 120
