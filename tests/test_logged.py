"""Does a rewrite leave the numbers of a log as they were? Random loops run before and after it, parameters frozen.

A safe rewrite changes no number at all. The others change what backward receives: the mean that is logged beside it, or
that a log line makes of the divided loss again, stays; the divided loss itself becomes its part of the window's mean.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.programs import LOGS, Program, program
from testbed.rewritten import Folder

torch = pytest.importorskip("torch")

from testbed.accumulation import STEPS, Batch, Recorder, TinyModel, micro_batches, token_loss, windows_of  # noqa: E402

NUMBERS = (*range(60), 133, 182, 263, 304)  # these four logged another number once
NEAR = 1e-5  # of 42; counts that are a float32 leave 2e-6
NO_STEP = "takes no step after a last, shorter window"  # which has a share of 0 then
MADE_ANEW = {"assigned", "in place", "inverse", "guarded", "by torch", "twice", "by a float"}  # the name is divided


def test_numbers_in_the_log(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    seen = set()
    for number, one in zip(NUMBERS, map(program, NUMBERS), strict=True):
        log = one.made_of[2]
        if log == "nothing":
            continue
        before = logged(one, one.text, micro_batches())
        safe, after = (folder.rewrite(one.text, unsafe=unsafe) for unsafe in (False, True))
        assert same(logged(one, safe, micro_batches()), before), (number, one.made_of)
        if after in (safe, one.text):
            continue
        batches = micro_batches()
        now = logged(one, after, batches)
        full = batches[: len(batches) // STEPS * STEPS]
        run = full if "drawn" in one.made_of else batches
        above, _ = LOGS[log]
        if above or one.made_of[1] not in MADE_ANEW or (log == "multiplied" and not one.aux):
            assert same(now, logged(one, one.text, run)), (number, one.made_of)
            seen.add((log, "the mean"))
        else:
            scale = STEPS if log == "multiplied" else 1
            stepped = full if NO_STEP in after else run
            assert same([sum(now)], [scale * one.epochs * objective(one, stepped)]), (number, one.made_of)
            seen.add((log, "its part"))
    logs = LOGS.keys() - {"nothing"}
    assert seen >= {(log, "the mean") for log in logs} | {("a sum", "its part"), ("text", "its part")}


@torch.no_grad()
def objective(one: Program, batches: Sequence[Batch]) -> float:
    """The full-batch loss of each window, added up."""
    total, model = 0.0, TinyModel()
    for window in windows_of(batches):
        whole = {key: torch.cat([batch[key] for batch in window]) for key in window[0]}
        total += float(token_loss(model(whole["input_ids"]).logits, whole["labels"], True, "mean"))
        total += one.aux * sum(float(model(batch["input_ids"]).aux_loss) for batch in window) / len(window)
    return total


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < NEAR for a, b in zip(one, other, strict=True))


def logged(one: Program, text: str, batches: Sequence[Batch]) -> list[float]:
    """Every number that a loop logs while its parameters stay as they are."""
    names: dict[str, Any] = {}
    told = text.replace("    return running\n", "    return running, history\n").replace(":.3f", ":.9f")
    exec(compile(told, "train.py", "exec"), names)
    model = TinyModel()
    optimizer = Recorder(model).optimizer
    optimizer.param_groups[0]["lr"] = 0.0
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        running, history = names["train"](model, list(batches), optimizer, STEPS, one.epochs)
    return [float(each) for each in (running, *history, *printed.getvalue().split())]
