"""Do random loops of accelerate, DDP and Fabric, after their rewrite, take the steps of the full batch of all ranks?"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from testbed.ranks import Ranked, ranked
from testbed.rewritten import Folder
from testbed.steps import step

pytest.importorskip("accelerate")

from testbed.accumulation import worst
from testbed.gloo import full_batches, on_ranks

pytestmark = [
    pytest.mark.xdist_group("fix_ranks"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
FIRST, COUNT = int(os.environ.get("FIRST_PROGRAM", "0")), int(os.environ.get("PROGRAMS", "100"))  # more: by hand
FAR, EXACT = 1e-3, 1e-6  # a count that is a float32 leaves 5e-8
FACTOR_TOO_MANY = " * STEPS * RANKS"


@pytest.fixture(autouse=True, scope="module")
def fabric() -> None:
    """Not where tests are collected, which every process does; before the ranks fork, which would import it each."""
    pytest.importorskip("lightning.fabric")


def test_random_loops_of_several_ranks(tmp_path: Path) -> None:
    """On one and two ranks. What is off is found, unless only gradients or a factor too many say so."""
    folder = Folder(tmp_path)
    made = [ranked(number) for number in range(FIRST, FIRST + COUNT // 10)]
    rewrites = [(one, text) for one in made for text in folder.rewrites(one.text)]
    before = worst_of([(one, one.text) for one in made])
    after = worst_of(rewrites)
    for one, was in zip(made, before, strict=True):
        found = folder.codes(one.text)
        assert was > FAR or not found, (one.made_of, found)
        assert was < EXACT or found or {"gradients", FACTOR_TOO_MANY} & set(one.made_of), (one.made_of, was)
    for (one, text), left in zip(rewrites, after, strict=True):
        assert left < EXACT or folder.codes(text), (one.made_of, left)
    assert sum(left < EXACT for left in after) > 0.3 * len(made)


def test_random_training_steps_of_lightning(tmp_path: Path) -> None:
    """On its stand-in. What has no count, or that of one rank, and is divided by hand is not all found."""
    folder = Folder(tmp_path)
    made = [step(number) for number in range(FIRST, FIRST + COUNT // 10)]
    rewrites = [(one, text) for one in made for text in folder.rewrites(one.text)]
    for one, was in zip(made, worst_of([(one, one.text) for one in made]), strict=True):
        found = folder.codes(one.text)
        assert was > FAR or not found, (one.made_of, found)
        assert was < EXACT or found or "a sum" in one.made_of, (one.made_of, was)
    after = worst_of(rewrites)
    for (one, text), left in zip(rewrites, after, strict=True):
        assert left < EXACT or folder.codes(text) or "a sum" in one.made_of, (one.made_of, left)
    assert sum(left < EXACT for left in after) > 0.3 * len(made)


def test_a_factor_that_is_missing_on_two_ranks_would_be_seen() -> None:
    wanted = ("ddp", "held", "sum", " * RANKS")
    one = next(each for each in map(ranked, itertools.count()) if each.made_of[:4] == wanted and each.made_of[4])
    right, wrong = worst_of([(one, one.text), (one, one.text.replace(" * dist.get_world_size()", ""))])
    assert right < EXACT
    assert wrong > FAR


def worst_of(loops: list[tuple[Ranked, str]]) -> list[float]:
    """The largest relative error of a step, on one rank or on two; of one that raises, infinity."""
    errors = [[] for _ in loops]
    for ranks in (1, 2):
        for (one, _), seen, each in zip(loops, on_ranks(loops, ranks), errors, strict=True):
            each.append(float("inf") if isinstance(seen, str) else worst(seen, full_batches(one, ranks)))
    return [max(each) for each in errors]
