"""Do random training loops, after their rewrite, take the steps of the full batch? Those left are still reported."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from testbed.overrides import override
from testbed.programs import GATES, MEANS, Program, program
from testbed.rewritten import Folder
from testbed.trained import built
from testbed.windows import Loop, loop

torch = pytest.importorskip("torch")

from testbed.accumulation import STEPS, Recorder, TinyModel, micro_batches, oracle, windows_of, worst  # noqa: E402
from testbed.numeric import Measured, measure  # noqa: E402
from testbed.window_data import own_objective, trained  # noqa: E402

FIRST, COUNT = int(os.environ.get("FIRST_PROGRAM", "0")), int(os.environ.get("PROGRAMS", "100"))  # more: by hand
FAR, EXACT = 1e-3, 1e-6  # a count that is a float32 leaves 3e-8
NAMELESS = {
    "drawn",
    "slices",
}  # no name calls these inner loops a window: undivided, they may be sums


def test_random_loops(tmp_path: Path) -> None:
    """Every one is wrong: its micro-batches hold different numbers of targets."""
    folder = Folder(tmp_path)
    rewritten, seen = 0, set()
    for number in range(FIRST, FIRST + COUNT):
        one = program(number)
        assert error(one, one.text) > FAR, number
        found = folder.codes(one.text)
        assert found or ("none" in one.made_of and NAMELESS & set(one.made_of)), (number, one.made_of)
        after = folder.rewrite(one.text)
        if after == one.text:
            continue
        left = error(one, after)
        assert left < EXACT or folder.codes(after), (number, one.made_of, left)
        rewritten += left < EXACT
        seen |= set(one.made_of)
    assert rewritten > 0.6 * COUNT
    assert seen >= (MEANS.keys() | GATES.keys()) - {"slices"}


def test_a_loss_that_is_made_of_itself_and_a_penalty_is_weighed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    wanted = ("and a router's", "assigned")
    one = next(each for each in map(program, range(9999)) if each.made_of[:2] == wanted and "flushed" in each.made_of)
    assert error(one, one.text) > FAR
    assert error(one, folder.rewrite(one.text)) < EXACT


def test_a_wrong_rewrite_would_be_seen() -> None:
    one = next(each for each in map(program, range(1000)) if each.made_of[:2] == ("cross-entropy", "assigned"))
    assert error(one, one.text.replace("loss / steps", "loss / (steps + 1)")) > FAR


def test_random_loops_that_count_for_themselves(tmp_path: Path) -> None:
    """Right ones are left alone; what is rewritten is right, as the full batch or as what the loop itself counts."""
    folder = Folder(tmp_path)
    rewritten, right, count = 0, 0, COUNT // 3
    for one in map(loop, range(FIRST, FIRST + count)):
        found, was = folder.codes(one.text), error_of(one, one.text)
        right += was < EXACT
        assert was > FAR or not found or "positions" in one.made_of, (one.made_of, found)
        for after in folder.rewrites(one.text):
            left = error_of(one, after)
            assert left < EXACT or folder.codes(after), (one.made_of, left)
            rewritten += left < EXACT
    assert rewritten > 0.1 * count
    assert right > 0.3 * count


def test_a_count_that_is_off_by_one_would_be_seen() -> None:
    one = next(each for each in map(loop, range(1000)) if each.made_of[:2] == ("slices", "over the total"))
    assert error_of(one, one.text) < EXACT
    assert error_of(one, one.text.replace("loss / total", "loss / (total + 1)")) > FAR


def error_of(one: Loop, text: str) -> float:
    """The largest relative error of a step, against the full batch or what the loop itself divides by."""
    wanted = oracle(windows_of(micro_batches()) * one.epochs)
    seen = trained(one, text)
    return min(worst(seen, wanted), worst(seen, own_objective(one.count, one.epochs)))


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_trainer")
@pytest.mark.xdist_group("ranks")
def test_random_overrides(tmp_path: Path) -> None:
    """On the real Trainer, on one and two ranks: whatever is off by a factor is found, and no rewrite leaves one."""
    folder = Folder(tmp_path)
    made = [override(number) for number in range(FIRST, FIRST + COUNT // 4)]
    rewrites = [folder.rewrite(one.text) for one in made]
    before = measured([one.text for one in made])
    after = measured(rewrites)
    exact = 0
    for one, text, was, became in zip(made, rewrites, before, after, strict=True):
        found = set(folder.codes(one.text))
        assert found or is_scaled(was), one.made_of
        assert found <= {"GA211", "GA212"} or not is_exact(was), one.made_of  # those of evaluation, and of a flag
        if text != one.text:
            assert is_scaled(became) or folder.codes(text), (one.made_of, became)
            assert is_exact(became) or "accepts_loss_kwargs = False" in text or folder.codes(text), one.made_of
            exact += is_exact(became)
    assert exact > 0.3 * len(made)


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_trainer")
@pytest.mark.xdist_group("ranks")
def test_random_loss_functions_models_and_steps(tmp_path: Path) -> None:
    """On the real Trainer too: whatever is off by a factor is found, and no rewrite leaves one that is not reported."""
    folder = Folder(tmp_path)
    made = [built(number) for number in range(FIRST, FIRST + COUNT // 20)]
    rewrites = [(one, text) for one in made for text in folder.rewrites(one.text)]
    exact = 0
    for one, was in zip(made, measured([one.text for one in made]), strict=True):
        found = set(folder.codes(one.text))
        assert found or is_scaled(was) or all(each.raised for each in was), one.made_of  # a crash speaks for itself
        assert found <= {"GA211", "GA212"} or not is_exact(was), one.made_of  # those of evaluation, and of a flag
    for (one, text), became in zip(rewrites, measured([text for _, text in rewrites]), strict=True):
        assert is_scaled(became) or folder.codes(text), (one.made_of, became)
        exact += is_exact(became)
    assert exact > 0.1 * len(made)


def measured(texts: list[str]) -> list[tuple[Measured, Measured]]:
    return list(zip(measure(texts), measure(texts, ranks=2), strict=True))


def is_scaled(one: tuple[Measured, Measured]) -> bool:
    """Not off by a factor: a mean of means is 3 % off on this data."""
    return all(each.raised is None and abs(each.scale - 1) < 0.1 for each in one)


def is_exact(one: tuple[Measured, Measured]) -> bool:
    return all(each.raised is None and each.error < EXACT for each in one)


def error(one: Program, text: str) -> float:
    """The largest relative error of an optimizer step."""
    names: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), names)
    model = TinyModel()
    recorder = Recorder(model)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        names["train"](model, micro_batches(), recorder.optimizer, STEPS, one.epochs)
    windows = windows_of(micro_batches(), short=one.short) * one.epochs
    return worst(recorder.seen, oracle(windows, aux=one.aux))
