"""What do real ranks do? A process each under torch.distributed, with DistributedDataParallel or FSDP."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch.distributed as distributed
from torch import nn

from ga_lint.verify.job import Answer, Job
from ga_lint.verify.worker.confined import confined
from ga_lint.verify.worker.devices import connect, show_only, wake
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.collectives import real_distributed
from ga_lint.verify.worker.harness.ranks import Ranks, be_one_of, being, here
from ga_lint.verify.worker.sandbox.confine import close_descriptors, die_with
from ga_lint.verify.worker.sandbox.profiles import RANKS, RANKS_ON_DEVICES

_T = TypeVar("_T")
_WRAPPER = nn.parallel.DistributedDataParallel  # before a check puts its stand-in there


class Replicated(_WRAPPER):
    """The real wrapper; what only the harness's model has is still found there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _note_wrapper("DDP")

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


class Sharded(nn.Module):
    """Stands where the Trainer and accelerate wrap a model, and shards its parameters: FSDP2."""

    def __init__(self, module: nn.Module, *_: object, **__: object) -> None:
        super().__init__()
        shard(module)
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        module: Any = self.module
        module.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            module.set_requires_gradient_sync(True)


def shard(model: nn.Module) -> nn.Module:
    """The model with its parameters spread over the ranks, in place."""
    from torch.distributed.fsdp import fully_shard

    fully_shard(model)
    _note_wrapper("FSDP")
    return model


def _note_wrapper(name: str) -> None:
    group = here()
    if isinstance(group, Processes):
        group.wrapper = name


class Processes(Ranks):
    """The ranks of which this process is one. `wrapper`: the real one that was put around a model, if one was."""

    is_emulated = False

    def __init__(self, rank: int, count: int, *, fsdp: bool) -> None:
        super().__init__(count)
        self.rank, self.fsdp = rank, fsdp
        self.wrapper: str | None = None

    def __str__(self) -> str:
        return f"{self.count} processes, {self.wrapper}" if self.wrapper else f"{self.count} processes"

    def run(self, work: Callable[[int], _T]) -> list[_T]:
        with self._real(), being(self, self.rank):
            mine = work(self.rank)
        return self.exchange("the results", mine)

    def exchange(self, _what: str, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.count
        with real_distributed():
            distributed.all_gather_object(found, value)
        return found

    def wrapped(self, model: nn.Module) -> nn.Module:
        return shard(model) if self.fsdp else Replicated(model)

    @contextlib.contextmanager
    def _real(self) -> Iterator[None]:
        stand_in = nn.parallel.DistributedDataParallel
        nn.parallel.DistributedDataParallel = Sharded if self.fsdp else Replicated  # type: ignore[misc, assignment]
        try:
            with real_distributed():
                yield
        finally:
            nn.parallel.DistributedDataParallel = stand_in  # type: ignore[misc]


@dataclass(frozen=True)
class Part:
    """A process that answers for itself, and the end of the pipe that it answers by."""

    process: int
    reader: int


def started(work: Callable[[], Answer]) -> Part:
    """Fork a process for this; it lives until it is ended."""
    if not hasattr(os, "fork"):
        raise NotVerifiable("needs a system that can fork processes")
    reader, writer = os.pipe()
    parent = os.getpid()
    process = os.fork()
    if process == 0:
        die_with(parent)
        close_descriptors(writer)
        _answer(work, writer)
    os.close(writer)
    return Part(process, reader)


def ended(parts: list[Part], seconds: float) -> Answer:
    """The answer of the first once all have answered, or the first that says why there is none; no part lives on."""
    try:
        return _first_or_failed(parts, seconds)
    finally:
        for each in parts:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.process, signal.SIGKILL)
            os.waitpid(each.process, 0)
            os.close(each.reader)


def on_processes(job: Job) -> Answer:
    """R4 by real ranks, started from this process, which has no more to do than wait."""
    return ended([started(lambda rank=rank: _as_rank(job, rank)) for rank in range(job.ranks)], job.timeout)  # type: ignore[misc]


def _first_or_failed(parts: list[Part], seconds: float) -> Answer:
    deadline = time.monotonic() + seconds
    texts = {each.reader: b"" for each in parts}
    answers: dict[int, Answer] = {}
    while len(answers) < len(parts):
        waiting = [reader for reader in texts if reader not in answers]
        ready, _, _ = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return Answer(missing=f"still running after {seconds:g} s: stopped")
        for reader in ready:
            chunk = os.read(reader, 1 << 16)
            texts[reader] += chunk
            if not chunk:
                answers[reader] = _read(texts[reader])
                if answers[reader].missing is not None:
                    return answers[reader]
    return answers[parts[0].reader]


def _read(text: bytes) -> Answer:
    try:
        return Answer.from_json(text.decode(errors="replace"))
    except (ValueError, TypeError, KeyError):
        return Answer(missing="the process ended without an answer")


def _answer(work: Callable[[], Answer], writer: int) -> NoReturn:
    try:
        answer = work()
    except BaseException as error:  # noqa: BLE001 - whatever happened, the parent must hear of it
        answer = Answer(missing=f"{type(error).__name__}: {error}")
    data = answer.to_json().encode()
    while data:
        data = data[os.write(writer, data) :]
    os.close(writer)
    while True:  # until it is killed: that a rank is gone must not be what the others fail with
        time.sleep(1)


def _as_rank(job: Job, rank: int) -> Answer:
    from ga_lint.verify.worker.examine import examine_together

    ranks = _met(job, rank)
    profile = RANKS if job.ranks_device == "cpu" else RANKS_ON_DEVICES
    return confined(job.timeout, lambda: examine_together(job, ranks), profile)


def _met(job: Job, rank: int) -> Processes:
    """Meet the other ranks by a file in the site's own folder, and talk over the loopback device."""
    # accelerate and the user's code read their rank from where a launcher would put it
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(job.ranks), LOCAL_WORLD_SIZE=str(job.ranks))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")  # asked for, not used: the group exists already
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    show_only(job.ranks_device if job.ranks_device == "cpu" else f"cuda:{rank}")
    backend = "gloo" if job.ranks_device == "cpu" else "cpu:gloo,cuda:nccl"
    distributed.init_process_group(
        backend,
        init_method=f"file://{Path.cwd()}/rendezvous",
        rank=rank,
        world_size=job.ranks,
        timeout=timedelta(seconds=job.timeout),
    )
    if job.ranks_device != "cpu":
        wake()
        connect()
    distributed.barrier()
    found = Processes(rank, job.ranks, fsdp=job.fsdp)
    be_one_of(found)
    return found
