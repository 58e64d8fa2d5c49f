"""What does a data-parallel wrapper do to gradients? The mean over the ranks, at the backward that it chooses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.collectives import combined


class Averaging:
    """DDP's: the forward pass decides whether the backward that follows averages, and `no_sync` tells it not to.

    With `set_requires_gradient_sync` it is FSDP's: what was said last, before the backward, decides.
    """

    def __init__(self, model: nn.Module, takes: str = "mean") -> None:
        self.model, self.takes = model, takes
        self.syncs = True
        self._expects = False
        self._forward_decides = True
        self._reduced: dict[nn.Parameter, torch.Tensor] = {}  # a sum is not to be summed again
        group = ranks.here()
        if group is not None:
            group.after_backward[ranks.rank()].append(self._after_backward)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        before, self.syncs = self.syncs, False
        try:
            yield
        finally:
            self.syncs = before

    def set_requires_gradient_sync(self, syncs: bool, *_: object, **__: object) -> None:
        self.syncs, self._forward_decides = bool(syncs), False

    def forwarded(self) -> None:
        """A forward pass takes place."""
        if torch.is_grad_enabled():
            self._expects = self.syncs
            self._reduced = {p: r for p, r in self._reduced.items() if p.grad is not None and bool(p.grad.any())}

    def _after_backward(self) -> None:
        if self._expects if self._forward_decides else self.syncs:
            average_gradients(self.model, self.takes, self._reduced)
        self._expects = False


def average_gradients(
    model: nn.Module, takes: str = "mean", reduced: dict[nn.Parameter, torch.Tensor] | None = None
) -> None:
    """The mean over the ranks, or the sum, of what every parameter has gathered and is not in `reduced` yet."""
    group = ranks.here()
    if group is None:
        return
    before = {} if reduced is None or takes == "mean" else reduced
    parameters = [p for p in model.parameters() if p.grad is not None]
    gradients = [p.grad.detach() - before.get(p, 0) for p in parameters if p.grad is not None]
    of_ranks = group.exchange("a gradient average", gradients)
    for parameter, values in zip(parameters, zip(*of_ranks, strict=True), strict=True):
        assert parameter.grad is not None
        parameter.grad.copy_(combined(values, takes) + before.get(parameter, 0))
        if takes != "mean":
            before[parameter] = parameter.grad.clone()


def data_parallel(model: Any, takes: str) -> nn.Module:
    """The model as ranks have it: wrapped for real, or told to average by itself. Alone it stays as it is."""
    group = ranks.here()
    if group is not None and not group.is_emulated:
        if takes != "mean":
            raise NotVerifiable("needs a wrapper that adds gradients up")
        wrapped: nn.Module = group.wrapped(model)
        return wrapped
    model.averaging = Averaging(model, takes) if group is not None else None
    return cast("nn.Module", model)


class DataParallel(nn.Module):
    """Stands where DistributedDataParallel wraps a model: in the Trainer, and in `accelerator.prepare`."""

    def __init__(self, module: nn.Module, *_: object, **__: object) -> None:
        super().__init__()
        self.module = module
        self._averaging = Averaging(module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self._averaging.forwarded()
        return self.module(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """What only the model has is found there; that the real wrapper hides it is another fault than ours."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def no_sync(self) -> contextlib.AbstractContextManager[None]:
        return self._averaging.no_sync()

    @property
    def require_backward_grad_sync(self) -> bool:
        return self._averaging.syncs

    @require_backward_grad_sync.setter
    def require_backward_grad_sync(self, syncs: bool) -> None:
        self._averaging.syncs = syncs
