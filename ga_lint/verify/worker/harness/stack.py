"""What do the objects of a training loop do? Loaders, optimizers, progress bars, as far as they decide a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch

from ga_lint.verify.worker.exceptions import Finished
from ga_lint.verify.worker.harness.models import TinyModel
from ga_lint.verify.worker.harness.neutral import Steady
from ga_lint.verify.worker.harness.stand_ins import Quiet
from ga_lint.verify.worker.measure import Gradient, snapshot

WINDOWS = 4  # three full windows, and a last one that is short where the loop steps on it


@dataclass
class Captured:
    """What is known of each window: it can be sent from one rank to another."""

    gradients: list[Gradient] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # backward passes
    seen: list[list[torch.Tensor]] = field(default_factory=list)  # token ids that the model was given


class Capture:
    """The gradient at each optimizer step, and how many backward passes led to it. Parameters are never updated, so
    that every window is compared at the same point: a counter that is not reset, or a lost zero_grad, shows."""

    def __init__(self, model: TinyModel, steady: Steady) -> None:
        self.model, self.steady = model, steady
        self.captured = Captured()
        self._counted = steady.backwards

    @property
    def passes(self) -> int:
        """The backward passes since the last step."""
        return self.steady.backwards - self._counted

    def step(self) -> None:
        found = self.captured
        if found.sizes and not self.passes and not self.model.seen:
            return  # another optimizer, of other parameters: it steps beside the one before
        found.gradients.append(snapshot(self.model))
        found.sizes.append(self.passes)
        self._counted = self.steady.backwards
        found.seen.append([*self.model.seen])
        self.model.seen.clear()
        if len(found.gradients) == WINDOWS:
            raise Finished


class Optimizer(torch.optim.SGD):
    """The user's optimizer: takes the gradient down instead of a step."""

    def __init__(self, capture: Capture) -> None:
        super().__init__(capture.model.parameters(), lr=1.0)
        self.capture = capture
        for group in self.param_groups:
            group.update(initial_lr=1.0, lr_scale=1.0, name="all", betas=(0.9, 0.95))

    def step(self, closure: Any = None, **_: object) -> None:  # type: ignore[override]
        if callable(closure):
            closure()
        self.capture.step()

    def backward(self, loss: Any, *_: object, **__: object) -> None:
        """An optimizer of mixed precision runs backward itself; it scales the loss and takes that back."""
        loss.backward()


class Loader(list[Any]):
    """The batches in order, with what loops ask of a DataLoader. Unknown methods do nothing."""

    batch_size = 1
    num_workers = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None

    @property
    def dataset(self) -> Loader:
        return self

    @property
    def sampler(self) -> Loader:
        return self

    def __call__(self, *_: object, **__: object) -> Loader:
        return self


class Endless:
    """An endless iterator over the batches, also under the names that hand-written loaders use."""

    epoch = 0

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches, self._next = batches, itertools.cycle(batches)

    def __iter__(self) -> Endless:
        return self

    def __next__(self) -> Any:
        return next(self._next)

    def __len__(self) -> int:
        return len(self._batches)

    def next_batch(self, *_: object, **__: object) -> Any:
        return next(self._next)

    get_batch = next = sample = next_batch

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


class Progress(Quiet):
    """tqdm and its like: the same items, and calls that do nothing."""

    def __init__(self, items: Any = (), *_: object, **__: object) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def trange(*bounds: int, **_: object) -> Progress:
    return Progress(range(*bounds))


class Scheduler(Quiet):
    def get_last_lr(self) -> list[float]:
        return [1.0]

    get_lr = get_last_lr


class Scaler(Quiet):
    """A GradScaler that does not scale; also timm's form, called with the loss and the optimizer."""

    def scale(self, loss: Any) -> Any:
        return loss

    def step(self, optimizer: Any, *_: object, **__: object) -> None:
        optimizer.step()

    def get_scale(self) -> float:
        return 1.0

    def __call__(self, loss: Any, optimizer: Any, *_: object, update_grad: bool = True, **__: object) -> torch.Tensor:
        loss.backward()
        if update_grad:
            optimizer.step()
        return torch.tensor(1.0)
