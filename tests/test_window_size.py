"""How large does the code say that a window is, around one row of it?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.config import Config
from ga_lint.engine.facts_of import WindowSize, window_size
from ga_lint.engine.scope import Scope
from ga_lint.project import Project
from ga_lint.source import decode

LOOP = """\
import torch.nn.functional as F
from torch.utils.data import DataLoader

{above}


def train(model, data, optimizer, held_out):
    loader = DataLoader(data, batch_size={size})
    eval_loader = DataLoader(held_out, batch_size=64)
    for step, (x, y) in enumerate(loader):
        loss = F.cross_entropy(model(x), y) / {steps}
        loss.backward()
        if (step + 1) % {steps} == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


def size_of(text: str, row: int) -> WindowSize:
    scope = Scope(Config(root=Path("project")), Project(Path("project")))
    return window_size(decode(Path("project/train.py"), text.encode()), scope, row)


@pytest.mark.parametrize(
    ("above", "size", "steps", "found"),
    [
        ("", "4", "8", WindowSize(8, "8", 4)),
        ("BATCH, STEPS = None, None", "BATCH", "STEPS", WindowSize(None, "STEPS", None)),
        ("BATCH = 4\nSTEPS = 8", "BATCH", "STEPS", WindowSize(8, "STEPS", 4)),
        ("", "cfg.batch", "cfg.steps", WindowSize(None, "cfg.steps", None)),
        ("", "2 * 3", "8", WindowSize(8, "8", None)),
        ("", "True", "8", WindowSize(8, "8", None)),
        ("", "0", "8", WindowSize(8, "8", None)),
        ("other = DataLoader(more, batch_size=2)", "4", "8", WindowSize(8, "8", None)),
    ],
)
def test_what_is_written_as_a_number(above: str, size: str, steps: str, found: WindowSize) -> None:
    """A loader for evaluation says nothing about training, and two sizes are none."""
    text = LOOP.format(above=above, size=size, steps=steps)
    assert size_of(text, text[: text.index("loss =")].count("\n") + 1) == found


def test_a_row_outside_the_loop_is_in_no_window() -> None:
    assert size_of(LOOP.format(above="", size="4", steps="8"), 1) == WindowSize(None, "", 4)


def test_training_arguments_say_it_for_the_whole_file() -> None:
    text = (
        "from transformers import TrainingArguments\n\n\nargs = TrainingArguments('out', "
        "per_device_train_batch_size=2, per_device_eval_batch_size=9, gradient_accumulation_steps=16)\n"
    )
    assert size_of(text, 1) == WindowSize(16, "16", 2)
