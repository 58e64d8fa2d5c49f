"""What do torch.distributed's functions do in a slice? Nothing where there is one process; between ranks, they meet."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as distributed
from torch.distributed import device_mesh

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.stand_ins import Quiet

_NOTHING = "init_process_group destroy_process_group new_group breakpoint"
_MISSING = "all_to_all all_to_all_single send recv isend irecv batch_isend_irecv reduce_scatter"

_OWNERS = (distributed, device_mesh)
_REAL: dict[tuple[Any, str], Any] = {}


class _Work(Quiet):
    """What an asynchronous collective returns: it is over already."""

    def wait(self, *_: object, **__: object) -> bool:
        return True

    is_completed = is_success = wait


def patch_distributed() -> None:
    """Replace the functions of torch.distributed in this process, for good."""
    given = {name: value for name, value in globals().items() if name in _PUBLIC}
    given |= dict.fromkeys(_NOTHING.split(), lambda *_, **__: None)
    given |= {name: functools.partial(_refuse, name) for name in _MISSING.split()}
    given |= {"monitored_barrier": barrier, "is_available": lambda: True, "get_backend": lambda *_, **__: "gloo"}
    given["init_device_mesh"] = Mesh
    for name, value in given.items():
        for owner in _OWNERS:
            if hasattr(owner, name):
                _REAL.setdefault((owner, name), getattr(owner, name))
                setattr(owner, name, value)


@contextlib.contextmanager
def real_distributed() -> Iterator[None]:
    """torch.distributed's own functions again: this process is a rank that has met the others."""
    found = {(owner, name): getattr(owner, name) for owner, name in _REAL}
    for (owner, name), value in _REAL.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name), value in found.items():
            setattr(owner, name, value)


def combined(values: Sequence[torch.Tensor], op: object = "sum") -> torch.Tensor:
    """The reduction of the ranks' tensors; `op` is a ReduceOp or its name."""
    name = str(op).lower()
    if "max" in name or "min" in name:
        pick = torch.maximum if "max" in name else torch.minimum
        return functools.reduce(pick, values)
    if "product" in name:
        return functools.reduce(operator.mul, values)
    total: torch.Tensor = functools.reduce(operator.add, values)
    return total / len(values) if "avg" in name or "mean" in name else total


def exchanged(what: str, value: Any) -> list[Any]:
    """What every rank brings; alone, what was brought. Tensors are copied: a rank may change its own afterwards."""
    group = ranks.here()
    mine = value.detach().clone() if isinstance(value, torch.Tensor) else value
    return [mine] if group is None else group.exchange(what, mine)


class Mesh(Quiet):
    """A device mesh, however many dimensions are asked for: all ranks are data-parallel ones."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __getitem__(self, _: object) -> Mesh:
        return self

    def size(self, *_: object) -> int:
        return ranks.count()

    def get_local_rank(self, *_: object) -> int:
        return ranks.rank()

    get_rank = get_local_rank


def _done(*, async_op: bool) -> _Work | None:
    return _Work() if async_op else None


def all_reduce(tensor: Any, op: object = "sum", group: object = None, async_op: bool = False) -> _Work | None:
    if isinstance(tensor, torch.Tensor) and ranks.here() is not None:
        with torch.no_grad():
            tensor.copy_(combined(exchanged("all_reduce", tensor), op))
    return _done(async_op=async_op)


def reduce(
    tensor: Any, dst: int = 0, op: object = "sum", group: object = None, async_op: bool = False, **_: object
) -> _Work | None:
    if isinstance(tensor, torch.Tensor) and ranks.here() is not None:
        values = exchanged("reduce", tensor)
        if ranks.rank() == dst:
            with torch.no_grad():
                tensor.copy_(combined(values, op))
    return _done(async_op=async_op)


def broadcast(tensor: Any, src: int = 0, group: object = None, async_op: bool = False, **_: object) -> _Work | None:
    if isinstance(tensor, torch.Tensor) and ranks.here() is not None:
        with torch.no_grad():
            tensor.copy_(exchanged("broadcast", tensor)[src])
    return _done(async_op=async_op)


def all_gather(outputs: Any, tensor: Any, group: object = None, async_op: bool = False) -> _Work | None:
    for output, value in zip(outputs, exchanged("all_gather", tensor), strict=False):
        output.copy_(value)
    return _done(async_op=async_op)


def all_gather_into_tensor(output: Any, tensor: Any, group: object = None, async_op: bool = False) -> _Work | None:
    output.copy_(torch.stack(exchanged("all_gather", tensor)).view_as(output))
    return _done(async_op=async_op)


def gather(tensor: Any, gather_list: Any = None, dst: int = 0, *_: object, async_op: bool = False) -> _Work | None:
    for output, value in zip(gather_list or (), exchanged("gather", tensor), strict=False):
        output.copy_(value)
    return _done(async_op=async_op)


def reduce_scatter_tensor(
    output: Any, tensor: Any, op: object = "sum", group: object = None, async_op: bool = False
) -> _Work | None:
    total = combined(exchanged("reduce_scatter", tensor), op)
    output.copy_(total.view(ranks.count(), *output.shape)[ranks.rank()])
    return _done(async_op=async_op)


def all_gather_object(outputs: list[Any], value: Any, group: object = None) -> None:
    outputs[: ranks.count()] = exchanged("all_gather_object", value)


def gather_object(value: Any, outputs: list[Any] | None = None, *_: object, **__: object) -> None:
    found = exchanged("gather_object", value)
    if outputs is not None:
        outputs[: ranks.count()] = found


def broadcast_object_list(values: list[Any], src: int = 0, *_: object, **__: object) -> None:
    if ranks.here() is not None:
        values[:] = exchanged("broadcast_object_list", list(values))[src]


def barrier(*_: object, **__: object) -> None:
    if ranks.is_set_up():
        exchanged("barrier", None)


def get_rank(group: object = None) -> int:
    return ranks.rank()


def get_world_size(group: object = None) -> int:
    return ranks.count()


def is_initialized() -> bool:
    return ranks.here() is not None


def _refuse(name: str, *_: object, **__: object) -> None:
    if ranks.here() is not None:
        raise NotVerifiable(f"needs torch.distributed.{name}, which emulated ranks do not have")


_PUBLIC = frozenset(
    "all_reduce reduce broadcast all_gather all_gather_into_tensor gather reduce_scatter_tensor all_gather_object "
    "gather_object broadcast_object_list barrier get_rank get_world_size is_initialized".split()
)
