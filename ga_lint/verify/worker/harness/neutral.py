"""What must not happen while a slice runs? Devices, casts, clipping, compiling and collectives, made harmless."""

from __future__ import annotations

import contextlib
import gc
import io
from typing import Any

import torch
from torch import nn
from torch.utils._device import _device_constructors

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.averaging import DataParallel
from ga_lint.verify.worker.harness.collectives import patch_distributed
from ga_lint.verify.worker.harness.draws import DRAWS, Draws
from ga_lint.verify.worker.harness.stand_ins import Quiet

NEUTRALISED = (
    "neutralised: devices, float casts, autocast, gradient clipping, torch.compile, torch.save, torch.distributed"
)
_REAL_SAVE, _REAL_LOAD = torch.save, torch.load
_CASTS = frozenset({"float", "double", "half", "bfloat16"})
_SAME = frozenset({"cuda", "cpu", "pin_memory"})


class NullContext(contextlib.nullcontext[None]):
    """A context manager that is also a decorator and takes any arguments: autocast, no_sync."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __call__(self, *_: object, **__: object) -> NullContext:
        return self


class Steady(torch.overrides.TorchFunctionMode):
    """Keeps every float in one dtype and everything on one device, and counts the backward passes."""

    def __init__(self, dtype: torch.dtype, device: str = "cpu") -> None:
        super().__init__()
        self.dtype, self.device = dtype, device.partition(":")[0]
        self.backwards = 0
        self.draws: Draws | None = None  # what torch.rand and the like give while a loop runs

    def another(self) -> Steady:
        """The same for another thread: such a mode holds for the one that enters it."""
        return Steady(self.dtype, self.device)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if func is torch.Tensor.backward:
            return self._backward(args, kwargs or {})
        if isinstance(args[0] if args else None, torch.Tensor) and func is getattr(torch.Tensor, name, None):
            if name in _SAME:
                return args[0]
            if name in _CASTS:
                return torch.Tensor.to(args[0], self.dtype)
            if name == "to":
                return self._to(args, kwargs or {})
        if self.draws is not None and name in DRAWS:
            found = self.draws.drawn(name, args, kwargs or {})
            if found is not None:
                return self._settled(found)
        options = {
            key: self._cast(value) for key, value in (kwargs or {}).items() if key not in ("device", "pin_memory")
        }
        if self.device == "cpu" or func not in _device_constructors():
            return func(*args, **options)
        if options.get("generator") is not None:  # ours are the CPU's: the same numbers everywhere
            return func(*args, **options).to(self.device)
        return func(*args, **options, device=self.device)

    def _backward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.backwards += 1
        torch.Tensor.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
        group = ranks.here()
        for after in group.after_backward[ranks.rank()] if group is not None else ():
            after()

    def _settled(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.dtype if tensor.is_floating_point() else tensor.dtype).to(self.device)

    def _to(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        tensor: torch.Tensor = args[0]
        for value in (*args[1:], *kwargs.values()):
            if isinstance(value, torch.dtype):
                return torch.Tensor.to(tensor, self._cast(value))
            if isinstance(value, torch.Tensor):
                return torch.Tensor.to(tensor, value.dtype)
        return tensor

    def _cast(self, value: Any) -> Any:
        return self.dtype if isinstance(value, torch.dtype) and value.is_floating_point else value


def neutralise(dtype: torch.dtype, device: str = "cpu") -> Steady:
    """Patch torch in this process, for good: the child runs one site and ends."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_default_dtype(dtype)
    _patch(torch.nn.utils, "clip_grad_norm_ clip_grad_value_", lambda *_, **__: torch.tensor(1.0))
    _patch(torch.nn.utils.clip_grad, "clip_grad_norm_ clip_grad_value_", lambda *_, **__: torch.tensor(1.0))
    _patch(nn.Module, "cuda cpu to float double half bfloat16 to_empty compile", _same)
    _patch(torch, "compile", _compile)
    _patch(gc, "collect", _zero)  # accelerate asks for it after every training: a fifth of a Trainer's check
    _patch(torch, "save", _save)
    _patch(torch, "load", _load)
    for module in (torch, torch.amp, torch.cuda.amp):
        _patch(module, "autocast", NullContext)
    if device == "cpu":
        _without_cuda()
    patch_distributed()
    torch.nn.parallel.DistributedDataParallel = DataParallel  # type: ignore[misc, assignment]
    steady = Steady(dtype, device)
    steady.__enter__()  # type: ignore[no-untyped-call]
    return steady


def _without_cuda() -> None:
    nothing = "synchronize empty_cache reset_peak_memory_stats set_device ipc_collect manual_seed_all"
    _patch(torch.cuda, nothing, _nothing)
    _patch(torch.cuda, "max_memory_allocated memory_allocated memory_reserved max_memory_reserved", _zero)
    _patch(torch.cuda, "current_device device_count", _zero)
    _patch(torch.cuda, "Event", lambda *_, **__: Quiet())


def _patch(owner: object, names: str, value: object) -> None:
    for name in names.split():
        if hasattr(owner, name):
            setattr(owner, name, value)


def _nothing(*_: object, **__: object) -> None:
    return None


def _zero(*_: object, **__: object) -> int:
    return 0


def _same(value: Any, *_: object, **__: object) -> Any:
    return value


def _compile(model: Any = None, *_: object, **__: object) -> Any:
    return model if model is not None else (lambda function: function)


def _save(value: object, file: object, *args: Any, **kwargs: Any) -> None:
    if isinstance(file, io.BytesIO):  # how torch sends objects from rank to rank
        _REAL_SAVE(value, file, *args, **kwargs)


def _load(file: object, *args: Any, **kwargs: Any) -> Any:
    if isinstance(file, io.BytesIO):
        return _REAL_LOAD(file, *args, **kwargs)
    raise NotVerifiable(f"needs the checkpoint {file!r}")
