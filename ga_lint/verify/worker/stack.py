"""What do the objects of a training loop do? Loaders, optimizers, engines, as far as they decide a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import nn

from ga_lint.verify.worker.measure import Gradient, snapshot
from ga_lint.verify.worker.models import TinyModel
from ga_lint.verify.worker.neutral import NullContext, Steady
from ga_lint.verify.worker.stand_ins import Finished, Quiet

WINDOWS = 4  # three full windows, and a last one that is short where the loop steps on it


class Capture:
    """The gradient at each optimizer step, and how many backward passes led to it. Parameters are never updated, so
    that every window is compared at the same point: a counter that is not reset, or a lost zero_grad, shows."""

    def __init__(self, model: TinyModel, steady: Steady) -> None:
        self.model, self.steady = model, steady
        self.gradients: list[Gradient] = []
        self.sizes: list[int] = []
        self.seen: list[list[torch.Tensor]] = []  # token ids that the model was given in each window
        self._counted = steady.backwards

    def step(self) -> None:
        self.gradients.append(snapshot(self.model))
        self.sizes.append(self.steady.backwards - self._counted)
        self._counted = self.steady.backwards
        self.seen.append([*self.model.seen])
        self.model.seen.clear()
        if len(self.gradients) == WINDOWS:
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


class Feed:
    """An endless iterator over the batches, also under the names that hand-written loaders use."""

    epoch = 0

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches, self._next = batches, itertools.cycle(batches)

    def __iter__(self) -> Feed:
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


class Engine(nn.Module):
    """A DeepSpeed engine: backward divides by its accumulation steps, step acts at the boundary and clears."""

    local_rank = global_rank = 0
    world_size = dp_world_size = 1

    def __init__(self, capture: Capture, steps: int) -> None:
        super().__init__()
        self.inner, self.steps, self.capture, self.backwards = capture.model, steps, capture, 0
        self.device = torch.device("cpu")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def backward(self, loss: Any, *_: object, **__: object) -> None:
        (loss / self.steps).backward()
        self.backwards += 1

    def is_gradient_accumulation_boundary(self) -> bool:
        return self.backwards % self.steps == 0

    def gradient_accumulation_steps(self) -> int:
        return self.steps

    def step(self, *_: object, **__: object) -> None:
        if self.backwards % self.steps == 0:
            self.capture.step()
            self.inner.zero_grad()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class Fabric(Quiet):
    """lightning.Fabric: backward does not divide."""

    world_size = 1
    global_rank = local_rank = 0
    is_global_zero = False

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def backward(self, loss: Any, *_: object, **__: object) -> None:
        loss.backward()

    def no_backward_sync(self, *_: object, **__: object) -> NullContext:
        return NullContext()

    autocast = no_backward_sync

    def all_reduce(self, value: Any, *_: object, **__: object) -> Any:
        return value

    all_gather = broadcast = to_device = all_reduce


class Accelerate:
    """The real Accelerator with what it prepares: it divides by its steps, and its loader knows the last batch."""

    def __init__(self, capture: Capture, batches: Sequence[Any], steps: int) -> None:
        from accelerate import Accelerator  # type: ignore[import-untyped]
        from accelerate.state import AcceleratorState, GradientState  # type: ignore[import-untyped]

        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=steps)
        for name in ("log", "save_state", "print", "end_training", "init_trackers", "save_model", "save"):
            setattr(self.accelerator, name, lambda *_, **__: None)
        self.optimizer = self.accelerator.prepare_optimizer(Optimizer(capture))
        self.accelerator.skip_first_batches = lambda loader, *_, **__: loader
        items: Any = list(batches)
        loader: Any = torch.utils.data.DataLoader(items, batch_size=None)
        self.loader = self.accelerator.prepare_data_loader(loader)
