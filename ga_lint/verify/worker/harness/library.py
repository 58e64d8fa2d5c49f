"""Helpers of libraries that need not be installed here: pure functions on tensors, known by what they are called there.

A trainer that is built on such a library calls them on every batch; a stand-in that does nothing would void its check.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ga_lint.verify.worker.harness.stand_ins import Recorder, Unknown


def pad_to_length(tensor: torch.Tensor, length: int, pad_value: float, dim: int = -1) -> torch.Tensor:
    """Padded on the right to that length along one dimension; longer ones stay as they are."""
    missing = length - tensor.size(dim)
    if missing <= 0:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = missing
    return torch.cat([tensor, torch.full(shape, pad_value, dtype=tensor.dtype)], dim=dim)


def pad(
    tensors: Sequence[torch.Tensor], padding_value: float = 0, padding_side: str = "right", **_: Any
) -> torch.Tensor:
    """The tensors as one, padded along their first dimension."""
    width = max(len(tensor) for tensor in tensors)
    found = tensors[0].new_full((len(tensors), width, *tensors[0].shape[1:]), padding_value)
    for row, tensor in zip(found, tensors, strict=True):
        row[slice(0, len(tensor)) if padding_side == "right" else slice(width - len(tensor), width)] = tensor
    return found


def selective_log_softmax(logits: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The log probability of each token of `index`."""
    return logits.log_softmax(-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)


def entropy_from_logits(logits: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Of the distribution at each position."""
    log_probabilities = F.log_softmax(logits, dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def cap_exp(value: torch.Tensor, cap: float = -1) -> torch.Tensor:
    """The exponential, of no more than `cap` where one is given."""
    return torch.exp(value if cap < 0 else value.clamp(max=cap))


def disable_dropout_in_model(_: Any) -> None:
    """The tiny models have none."""


_OF_TRL = (pad_to_length, pad, selective_log_softmax, entropy_from_logits, cap_exp, disable_dropout_in_model)
_HELPERS: dict[str, Sequence[Callable[..., Any]]] = {"trl": _OF_TRL}


def equipped(stand_in: Unknown, source: str, recorder: Recorder) -> Unknown:
    """The stand-in of a library's module, with those of its helpers that are known."""
    for helper in _HELPERS.get(source.split(".", maxsplit=1)[0], ()):
        setattr(stand_in, helper.__name__, _told(helper, source, recorder))
    return stand_in


def _told(helper: Callable[..., Any], source: str, recorder: Recorder) -> Callable[..., Any]:
    @functools.wraps(helper)
    def call(*args: Any, **kwargs: Any) -> Any:
        recorder.assume(f"`{source}.{helper.__name__}` does what it is known to do")
        return helper(*args, **kwargs)

    return call
