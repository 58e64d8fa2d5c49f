"""What do the libraries do that own a loop's backward? DeepSpeed, Fabric and accelerate, on one rank and on several."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.averaging import average_gradients
from ga_lint.verify.worker.harness.collectives import combined, exchanged
from ga_lint.verify.worker.harness.neutral import NullContext
from ga_lint.verify.worker.harness.stack import Capture, Optimizer
from ga_lint.verify.worker.harness.stand_ins import Quiet


class Engine(nn.Module):
    """A DeepSpeed engine: backward divides by its steps; step acts at the boundary: it averages over ranks, and clears.

    As measured by hand on 0.18.4 and 0.19.4, ZeRO 0 and 2: micro-batches are counted when `step` is called, and a
    backward after one that ended a window starts anew. Where the loop has a gate of its own before `step`, the engine
    is taken to step there.
    """

    def __init__(self, capture: Capture, steps: int, gated: bool = False) -> None:
        super().__init__()
        self.inner, self.steps, self.capture = capture.model, steps, capture
        self._gated = gated
        self.micro_steps = 0
        self.device = torch.device("cpu")
        self._told: bool | None = None
        self._closed = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)

    def backward(self, loss: Any, *_: object, scale_wrt_gas: bool = True, **__: object) -> Any:
        if self._closed:
            self.inner.zero_grad()
        (loss / self.steps if scale_wrt_gas else loss).backward()
        self._closed = not self._gated and self.is_gradient_accumulation_boundary()
        return loss  # as given, for what is logged

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        self._told = bool(is_boundary)

    def is_gradient_accumulation_boundary(self) -> bool:
        return (self.micro_steps + 1) % self.steps == 0 if self._told is None else self._told

    def gradient_accumulation_steps(self) -> int:
        return self.steps

    def step(self, *_: object, **__: object) -> None:
        ends = self._gated or self.is_gradient_accumulation_boundary()
        self.micro_steps += 1
        if ends:
            self._closed = False
            average_gradients(self.inner)
            self.capture.step()
            self.inner.zero_grad()

    @property
    def world_size(self) -> int:
        return ranks.count()

    dp_world_size = world_size

    @property
    def global_rank(self) -> int:
        return ranks.rank()

    local_rank = global_rank

    def no_sync(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class Fabric(Quiet):
    """lightning.Fabric: backward does not divide; gathering stacks, reducing takes the mean unless told otherwise."""

    def __init__(self, model: Any) -> None:
        self.device = torch.device("cpu")
        self._model = model

    @property
    def world_size(self) -> int:
        return ranks.count()

    @property
    def global_rank(self) -> int:
        return ranks.rank()

    local_rank = global_rank
    is_global_zero = False

    def setup(self, *given: Any, **_: object) -> Any:
        return given if len(given) > 1 else given[0]

    setup_dataloaders = setup

    def backward(self, loss: Any, *_: object, **__: object) -> None:
        loss.backward()

    def no_backward_sync(self, module: object = None, enabled: bool = True) -> contextlib.AbstractContextManager[None]:
        return self._model.no_sync() if enabled else NullContext()

    def autocast(self, *_: object, **__: object) -> NullContext:
        return NullContext()

    def all_reduce(self, value: Any, group: object = None, reduce_op: object = "mean") -> Any:
        if ranks.here() is None:
            return value
        return combined(exchanged("fabric.all_reduce", torch.as_tensor(value)), reduce_op)

    def all_gather(self, value: Any, *_: object, **__: object) -> Any:
        return value if ranks.here() is None else torch.stack(exchanged("fabric.all_gather", torch.as_tensor(value)))

    def broadcast(self, value: Any, src: int = 0) -> Any:
        return exchanged("fabric.broadcast", value)[src]

    def barrier(self, *_: object, **__: object) -> None:
        exchanged("fabric.barrier", None)

    def to_device(self, value: Any) -> Any:
        return value


class Accelerate:
    """The real Accelerator with what it prepares: it divides by its steps, and its loader knows the last batch."""

    def __init__(self, capture: Capture, batches: Sequence[Any], steps: int) -> None:
        from accelerate import Accelerator  # type: ignore[import-untyped]

        start_accelerate()
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=steps)
        for name in ("log", "save_state", "print", "end_training", "init_trackers", "save_model", "save"):
            setattr(self.accelerator, name, lambda *_, **__: None)
        self.optimizer = self.accelerator.prepare_optimizer(Optimizer(capture))
        self.accelerator.skip_first_batches = lambda loader, *_, **__: loader
        items: Any = list(batches)
        loader: Any = torch.utils.data.DataLoader(items, batch_size=None)
        state = self.accelerator.state
        found, state.num_processes = state.num_processes, 1  # its rows are this rank's already
        self.loader = self.accelerator.prepare_data_loader(loader)
        state.num_processes = found


def start_accelerate() -> None:
    """Its state anew, each rank with its own: the real library then gathers and reduces over the emulated ranks."""
    from accelerate.state import (  # type: ignore[import-untyped]
        AcceleratorState,
        GradientState,
        PartialState,
        ThreadLocalSharedDict,
    )

    for shared in (AcceleratorState, GradientState, PartialState):
        if not isinstance(vars(shared)["_shared_state"], ThreadLocalSharedDict):
            shared._shared_state = ThreadLocalSharedDict()
        shared._shared_state.clear()
    if not hasattr(PartialState, "_found"):
        PartialState._found = PartialState.__init__
        PartialState.__init__ = _of_this_rank


def _of_this_rank(self: Any, *args: Any, **kwargs: Any) -> None:
    """`PartialState(...)`: what a launcher would have told it. TrainingArguments forget it and ask again."""
    from accelerate.state import DistributedType, PartialState

    if ranks.here() is not None and PartialState._shared_state == {}:
        PartialState._shared_state.update(
            _cpu=True,
            backend="gloo",
            device=torch.device("cpu"),
            debug=False,
            distributed_type=DistributedType.MULTI_CPU,
            num_processes=ranks.count(),
            process_index=ranks.rank(),
            local_process_index=ranks.rank(),
        )
    self._found(*args, **kwargs)
