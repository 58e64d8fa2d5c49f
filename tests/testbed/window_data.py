"""What do random loops that hold their window run on, and what should come of it?"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from testbed.accumulation import (
    IGNORED,
    LEARNING_RATE,
    STEPS,
    Batch,
    Recorder,
    TinyModel,
    flat,
    micro_batches,
    token_loss,
    windows_of,
)
from testbed.windows import COUNTS, Loop


def batches_of(one: Loop) -> list[Any]:
    """Micro-batches or whole windows, as dictionaries or tuples."""
    batches = _masked(micro_batches())
    if one.whole:
        batches = [
            {key: torch.cat([each[key] for each in window]) for key in window[0]} for window in windows_of(batches)
        ]
    if one.pairs:
        return [(each["input_ids"], each["labels"], each["attention_mask"]) for each in batches]
    return list(batches)


def _masked(batches: Sequence[Batch]) -> list[Batch]:
    """With a mask that reaches over more than the targets: up to one behind the last."""
    masked = []
    for batch in batches:
        last = (batch["labels"] != IGNORED).long().cumsum(1).argmax(1)
        positions = torch.arange(batch["labels"].size(1))
        masked.append({**batch, "attention_mask": (positions <= last[:, None] + 1).long()})
    return masked


def trained(one: Loop, text: str) -> list[Tensor]:
    """The parameters after every optimizer step."""
    names: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), names)
    model = TinyModel()
    recorder = Recorder(model)
    names["train"](model, batches_of(one), recorder.optimizer, STEPS, one.epochs)
    return recorder.seen


@functools.cache
def own_objective(count: str, epochs: int) -> list[Tensor]:
    """The parameters after every step on the sum over a window, divided by what the loop itself counts."""
    model, seen = TinyModel(), []
    for window in windows_of(_masked(micro_batches())) * epochs:
        total, counted = torch.zeros(()), 0.0
        for batch in window:
            names = {"I": batch["input_ids"], "L": batch["labels"], "A": batch["attention_mask"], "torch": torch}
            total = total + token_loss(model(batch["input_ids"]).logits, batch["labels"], True, "sum")
            counted += float(eval(COUNTS[count], names))
        gradients = torch.autograd.grad(total / counted, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(LEARNING_RATE * gradient)
        seen.append(flat(model))
    return seen
