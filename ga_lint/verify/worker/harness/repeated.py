"""A loader that yields a whole window at once, again for each of its micro-batches; `_prepare_inputs` cuts it up.

So trainers work that generate for a window at once. What the Trainer counts is then each window as often.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.ranks import count
from ga_lint.verify.worker.reading.sources import Function

TOLD = "each window comes as one batch, once for each of its micro-batches, as its own loader and sampler say"
_OF_WINDOWS = re.compile(r"batch_size\b[^,\n]*\*[^,\n]*(gradient_accumulation_steps|steps_per_generation)")
_REPEATS = re.compile(r"repeat", re.IGNORECASE)
_CUTS = re.compile(r"%\s*\w*(steps|window|buffer)|%\s*self\.args\.(gradient_accumulation_steps|steps_per_generation)")


def repeats_windows(owner: ast.ClassDef) -> bool:
    """Whether the class feeds itself so. NotVerifiable where it has a loader of another kind for its preparation."""
    methods = {m.name: m for m in owner.body if isinstance(m, Function)}
    if not {"_prepare_inputs", "get_train_dataloader"} <= methods.keys():
        return False
    loader, prepares = methods["get_train_dataloader"], ast.unparse(methods["_prepare_inputs"])
    sampler = methods.get("_get_train_sampler")
    text = ast.unparse(loader).replace("'", "") + (ast.unparse(sampler) if sampler is not None else "")
    if _OF_WINDOWS.search(text.replace(": ", " = ")) and _REPEATS.search(text) and _CUTS.search(prepares):
        return True
    raise NotVerifiable(
        f"needs its own `get_train_dataloader` (line {loader.lineno}), which feeds its `_prepare_inputs`"
    )


class _Windows(torch.utils.data.Sampler[list[int]]):
    """The rows of each window of each rank, `steps` times over; accelerate deals whole batches to the ranks in turn."""

    def __init__(self, rows: int, steps: int, windows: int) -> None:
        self._rows, self._steps, self._windows = rows, steps, windows

    def __len__(self) -> int:
        return self._windows * self._steps * count()

    def __iter__(self) -> Iterator[list[int]]:
        size = self._rows // self._windows
        for window in range(self._windows):
            places = range(window * size, (window + 1) * size)
            for _ in range(self._steps):
                yield from (list(places[rank :: count()]) for rank in range(count()))


def repeated(trainer: Any, rows: Any, windows: int) -> Callable[[], Any]:
    """What takes the place of the trainer's `get_train_dataloader`."""

    def loader() -> Any:
        sampler = _Windows(len(rows), trainer.args.gradient_accumulation_steps, windows)
        return trainer.accelerator.prepare(
            torch.utils.data.DataLoader(rows, batch_sampler=sampler, collate_fn=trainer.data_collator)
        )

    return loader
