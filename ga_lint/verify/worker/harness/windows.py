"""What does a loop draw from its loader where it takes whole windows? One batch, with the methods that split it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ga_lint.verify.worker.harness.data import Batch, Row


def in_windows(rows: Sequence[Row], steps: int) -> list[Sequence[Row]]:
    """The rows of each window, the last of which may be short."""
    return [rows[start : start + steps] for start in range(0, len(rows), steps)]


class Window(Batch):
    """A batch that its loop splits: with the methods that tensor dictionaries have."""

    def _parts(self, size: int) -> list[Window]:
        count = len(self["input_ids"])
        places = range(0, count, max(1, int(size)))
        return [Window({key: _rows(value, at, at + size) for key, value in self.items()}) for at in places]

    def split(self, size: int, *_: object, **__: object) -> list[Window]:
        return self._parts(size)

    def chunk(self, chunks: int, *_: object, **__: object) -> list[Window]:
        return self._parts(math.ceil(len(self["input_ids"]) / max(1, int(chunks))))

    def select(self, *_: object, **__: object) -> Window:
        return self

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return Window({name: value[key] for name, value in self.items()})
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name == "batch":
            return self
        if name == "batch_size":
            return torch.Size([len(self["input_ids"])])
        return super().__getattr__(name)


def _rows(value: Any, start: int, end: int) -> Any:
    return value[start:end] if isinstance(value, torch.Tensor) else value
