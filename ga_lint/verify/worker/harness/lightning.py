"""What does a LightningModule find around it? Its trainer and what it asks of other ranks, and who takes its loss."""

from __future__ import annotations

from typing import Any

import torch

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.collectives import exchanged
from ga_lint.verify.worker.harness.stand_ins import Quiet, Unknown


class Trainer(Quiet):
    """What a module asks its trainer for, where that decides a gradient."""

    def __init__(self, steps: int) -> None:
        self.accumulate_grad_batches = steps

    @property
    def world_size(self) -> int:
        return ranks.count()

    @property
    def global_rank(self) -> int:
        return ranks.rank()

    local_rank = global_rank
    num_devices = world_size


def all_gather(value: Any, *_: object, **__: object) -> Any:
    """Every rank's value along a new first dimension; alone, the value as a tensor."""
    value = torch.as_tensor(value)
    return value if ranks.here() is None else torch.stack(exchanged("self.all_gather", value))


def loss_of(result: Any) -> Any:
    """A training step returns its loss, or a dictionary that holds it."""
    loss = result["loss"] if isinstance(result, dict) else result
    if isinstance(loss, Unknown):
        loss._void()
    if loss is None:
        raise NotVerifiable("needs a `training_step` that returns its loss")
    return loss
