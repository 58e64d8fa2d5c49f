"""What is a random number here? One that belongs to a row, so that a batch draws what its micro-batches draw.

Masks, noise and time steps that training draws for each example would differ from run to run, and nothing could be
compared. The first dimension of a draw is taken for the rows; along the others a longer draw begins like a shorter one.
Where equal counts are wanted all rows draw the same, else each its own: what is masked at random differs in number.
"""

from __future__ import annotations

import linecache
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

OWN_DRAWS = "random draws belong to their row: a batch draws what its micro-batches draw"
_LENGTH = 1 << 15
# The first draws of a row: neither all below nor all above what they may be compared with, however short it is.
_FIRST = (0.83, 0.21, 0.71, 0.34, 0.92, 0.11, 0.58)
_OF_A_ROW = (0.47, 0.62, 0.41, 0.68, 0.53)  # one number for each row: a time, a rate
_LIKE = ("rand_like", "randn_like", "randint_like")
DRAWS = frozenset({"rand", "randn", "randint", "bernoulli", *_LIKE})
_OF_ONE = re.compile(r"\(\s*(?:size\s*=\s*)?[(\[]?\s*1\s*,?\s*[)\]]?\s*[,)]")  # `torch.rand(1)`: of the whole batch


@dataclass
class Draws:
    """The numbers of one run of a loop; `first_row` tells which row of its window the next micro-batch begins with."""

    differ: bool
    sizes: frozenset[int]  # how many rows a micro-batch may have
    first_row: Callable[[], int]
    noted: Callable[[], None]

    def drawn(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
        """What this function of torch's gives, or None where the numbers are not drawn for rows."""
        found: torch.Tensor | None
        if kwargs.get("generator") is not None or kwargs.get("out") is not None:
            return None
        if name == "bernoulli":
            chances = args[0]
            found = (self._uniform(chances.shape) < chances).to(chances.dtype) if len(args) == 1 else None
        elif name.startswith("randint"):
            found = self._integers(args, kwargs, name in _LIKE)
        else:
            shape = args[0].shape if name in _LIKE else _size(args, kwargs)
            found = None if shape is None else self._uniform(shape)
            if found is not None and name.startswith("randn"):
                found = math.sqrt(2) * torch.erfinv(2 * found - 1)
        if found is None:
            return None
        self.noted()
        wanted: torch.dtype = kwargs.get("dtype") or (args[0].dtype if name in _LIKE else found.dtype)
        return found.to(wanted).requires_grad_(bool(kwargs.get("requires_grad")))

    def _integers(self, args: tuple[Any, ...], kwargs: dict[str, Any], is_like: bool) -> torch.Tensor | None:
        given = list(args)
        size = given.pop(0).shape if is_like else kwargs.get("size") or given.pop()
        bounds = [*given, *(kwargs[key] for key in ("low", "high") if key in kwargs)]
        if len(bounds) not in (1, 2):
            return None
        low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
        return low + torch.floor(self._uniform(torch.Size(size)) * (high - low)).long()

    def _uniform(self, shape: torch.Size) -> torch.Tensor:
        if not shape:
            return torch.tensor(_OF_A_ROW[0])
        first = self.first_row() if self.differ and shape[0] in self.sizes and not _is_of_one(shape) else None
        rows = [0 if first is None else first + place for place in range(shape[0])]
        if len(shape) == 1:
            return torch.tensor([_OF_A_ROW[row % len(_OF_A_ROW)] for row in rows])
        width = math.prod(shape[1:])
        return torch.stack([_stream(row)[:width] for row in rows]).reshape(shape) if rows else torch.empty(shape)


def _size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Size | None:
    size = kwargs.get("size", args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
    return torch.Size(size) if all(isinstance(length, int) for length in size) else None


def _is_of_one(shape: torch.Size) -> bool:
    """Whether the code asks for one number by a literal 1, and not for as many as there are rows."""
    if tuple(shape) != (1,):
        return False
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        "ga_lint/verify" in frame.f_code.co_filename or "/torch/" in frame.f_code.co_filename
    ):
        frame = frame.f_back
    first, last, start, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    if first is None or first != last or start is None or end is None:
        return False
    text = linecache.getline(frame.f_code.co_filename, first).encode()[start:end].decode(errors="replace")
    return _OF_ONE.search(text) is not None


@cache
def _stream(row: int) -> torch.Tensor:
    values = torch.empty(_LENGTH, dtype=torch.get_default_dtype())
    values.uniform_(0.01, 0.99, generator=torch.Generator().manual_seed(5 + row))
    turned = [_FIRST[(2 * row + place) % len(_FIRST)] for place in range(len(_FIRST))]
    values[: len(_FIRST)] = torch.tensor(turned)
    return values
