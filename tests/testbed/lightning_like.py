"""What Lightning does around a module under automatic optimisation, for where Lightning itself is not installed.

The order is that of lightning 2.6 (loops/optimization/automatic.py, plugins/precision/precision.py): training_step,
zero_grad on the first batch of a window, backward of the loss divided by `accumulate_grad_batches`, and after a
window's last batch, which the epoch's last always is, the hook, the clipping and the step. A test holds that the real
one comes to the same parameters.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class LightningModule(nn.Module):
    trainer: Trainer

    def __init__(self) -> None:
        super().__init__()
        self.logged: list[tuple[str, float]] = []

    def log(self, name: str, value: Any, **_: object) -> None:
        self.logged.append((name, float(value)))

    def all_gather(self, value: Any) -> Tensor:
        value = torch.as_tensor(value)
        if not dist.is_initialized():
            return value
        gathered = [torch.zeros_like(value) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, value)
        return torch.stack(gathered)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        pass


class Trainer:
    """Of the real one's many options only those that decide a gradient; the others are taken and left."""

    def __init__(
        self, accumulate_grad_batches: int = 1, gradient_clip_val: float | None = None, max_epochs: int = 1, **_: object
    ) -> None:
        self.accumulate_grad_batches, self.clip, self.epochs = accumulate_grad_batches, gradient_clip_val, max_epochs
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1

    def fit(self, module: Any, loader: Any) -> None:
        module.trainer = self
        optimizer = module.configure_optimizers()
        for _ in range(self.epochs):
            for index, batch in enumerate(loader):
                output = module.training_step(batch, index)
                loss = output["loss"] if isinstance(output, dict) else output
                if index % self.accumulate_grad_batches == 0:
                    optimizer.zero_grad()
                (loss / self.accumulate_grad_batches).backward()
                if (index + 1) % self.accumulate_grad_batches == 0 or index + 1 == len(loader):
                    self._step(module, optimizer)

    def _step(self, module: Any, optimizer: torch.optim.Optimizer) -> None:
        if self.world_size > 1:  # as DDP does in a window's last backward
            for parameter in module.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.world_size
        module.on_before_optimizer_step(optimizer)
        if self.clip:
            torch.nn.utils.clip_grad_norm_(module.parameters(), self.clip)
        optimizer.step()


def as_module() -> ModuleType:
    """To be imported as `lightning`."""
    module = ModuleType("lightning")
    module.__dict__.update(LightningModule=LightningModule, Trainer=Trainer)
    return module
