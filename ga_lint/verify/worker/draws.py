"""What is a random number here? The same for every row, so that a batch draws what its micro-batches draw.

Masks, noise and time steps that training draws for each example would differ from run to run, and nothing could be
compared. The first dimension of a draw is taken for the rows; along the others the numbers vary, and a longer draw
begins like a shorter one.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch

SAME_DRAWS = "random draws are the same for every row"
_LENGTH = 1 << 16
# The first draws of a row: neither all below nor all above what they may be compared with, however short it is.
_FIRST = (0.83, 0.21, 0.71, 0.34, 0.92, 0.11, 0.58)
_OF_A_ROW = 0.47  # one number for each row: a time, a rate
_LIKE = ("rand_like", "randn_like", "randint_like")
DRAWS = frozenset({"rand", "randn", "randint", "bernoulli", *_LIKE})


def drawn(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """What this function of torch's gives, or None where the numbers are not drawn for rows."""
    if kwargs.get("generator") is not None or kwargs.get("out") is not None:
        return None
    options = {key: kwargs[key] for key in ("dtype", "requires_grad") if kwargs.get(key) is not None}
    if name == "bernoulli":
        chances = args[0]
        return (_uniform(chances.shape) < chances).to(chances.dtype) if len(args) == 1 else None
    if name.startswith("randint"):
        return _integers(name, args, kwargs, options)
    if name in _LIKE:
        shape, options = args[0].shape, {"dtype": args[0].dtype, **options}
    else:
        size = kwargs.get("size", args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
        shape = torch.Size(size)
    uniform = _uniform(shape)
    values = uniform if name.startswith("rand") and not name.startswith("randn") else _normal(uniform)
    return values.to(options.get("dtype", values.dtype)).requires_grad_(bool(options.get("requires_grad")))


def _integers(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
) -> torch.Tensor | None:
    given = list(args)
    like = given.pop(0) if name in _LIKE else None
    size = like.shape if like is not None else kwargs.get("size") or given.pop()
    bounds = [*given, *(kwargs[key] for key in ("low", "high") if key in kwargs)]
    if not bounds or len(bounds) > 2:
        return None
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    values = low + torch.floor(_uniform(torch.Size(size)) * (high - low)).long()
    return values.to(options.get("dtype", torch.long if like is None else like.dtype))


def _uniform(shape: torch.Size) -> torch.Tensor:
    if len(shape) < 2:
        return torch.full(tuple(shape), _OF_A_ROW)
    row = shape[1:]
    return _stream()[: math.prod(row)].reshape(row).expand(shape).clone()


def _normal(uniform: torch.Tensor) -> torch.Tensor:
    return math.sqrt(2) * torch.erfinv(2 * uniform - 1)


@cache
def _stream() -> torch.Tensor:
    values = torch.empty(_LENGTH, dtype=torch.get_default_dtype())
    values.uniform_(0.01, 0.99, generator=torch.Generator().manual_seed(5))
    values[: len(_FIRST)] = torch.tensor(_FIRST)
    return values
