"""What a DeepSpeed engine does to gradients: checked by hand against 0.18.4 and 0.19.4 on CPU, ZeRO 0 and 2."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Engine:
    """Divides by its steps in backward, counts its micro-batches across epochs, averages over ranks when it steps."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        self.module, self.optimizer, self.steps = model, optimizer, steps
        self.micro_steps = 0
        self.told: bool | None = None
        self.closed = False  # the last backward ended a window: under ZeRO the next one starts anew, stepped or not

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        return self.module(*inputs, **named)

    def gradient_accumulation_steps(self) -> int:
        return self.steps

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        self.told = is_boundary

    def is_gradient_accumulation_boundary(self) -> bool:
        return (self.micro_steps + 1) % self.steps == 0 if self.told is None else self.told

    def backward(self, loss: Tensor) -> None:
        if self.closed:
            self.optimizer.zero_grad()
        torch.autograd.backward(loss / self.steps)
        self.closed = self.is_gradient_accumulation_boundary()

    def step(self) -> None:
        ends = self.is_gradient_accumulation_boundary()
        self.micro_steps += 1
        if not ends:
            return
        self.closed = False
        for parameter in self.module.parameters():
            assert parameter.grad is not None
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()
        self.optimizer.step()
        self.optimizer.zero_grad()
