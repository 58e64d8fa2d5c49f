"""What do real ranks do? A process each under torch.distributed, with DistributedDataParallel or FSDP."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as distributed
from torch import nn

from ga_lint.verify.job import Answer, Job
from ga_lint.verify.worker.collectives import real_distributed
from ga_lint.verify.worker.limits import confine
from ga_lint.verify.worker.ranks import Ranks, be_one_of, being

_T = TypeVar("_T")
_WRAPPER = nn.parallel.DistributedDataParallel  # before a check puts its stand-in there


class Replicated(_WRAPPER):
    """The real wrapper; what only the harness's model has is still found there."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


class Processes(Ranks):
    """The ranks of which this process is one."""

    is_emulated = False

    def __init__(self, rank: int, count: int, *, fsdp: bool) -> None:
        super().__init__(count)
        self.rank, self.fsdp = rank, fsdp

    def run(self, work: Callable[[int], _T]) -> list[_T]:
        with self._real(), being(self, self.rank):
            mine = work(self.rank)
        return self.exchange("the results", mine)

    def exchange(self, what: str, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.count
        with real_distributed():
            distributed.all_gather_object(found, value)
        return found

    def wrapped(self, model: nn.Module) -> nn.Module:
        if self.fsdp:
            from torch.distributed.fsdp import fully_shard

            fully_shard(model)  # in place
            return model
        return Replicated(model)

    @contextlib.contextmanager
    def _real(self) -> Any:
        stand_in, nn.parallel.DistributedDataParallel = nn.parallel.DistributedDataParallel, _WRAPPER  # type: ignore[misc]
        try:
            with real_distributed():
                yield
        finally:
            nn.parallel.DistributedDataParallel = stand_in  # type: ignore[misc]


@dataclass(frozen=True)
class _Rank:
    process: int
    reader: int


def on_processes(job: Job) -> Answer:
    """Start the ranks from this process, which has no more to do than wait: the first answer that fails ends all."""
    found = [_start(job, rank) for rank in range(job.ranks)]
    try:
        return _first_or_failed(found, job.timeout)
    finally:
        for each in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.process, signal.SIGKILL)
            os.waitpid(each.process, 0)
            os.close(each.reader)


def _start(job: Job, rank: int) -> _Rank:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        _be_rank(job, rank, writer)
    os.close(writer)
    return _Rank(process, reader)


def _first_or_failed(found: list[_Rank], seconds: float) -> Answer:
    """The answer of rank 0 once all have answered, or the first that says why there is none."""
    deadline = time.monotonic() + seconds
    texts = {each.reader: b"" for each in found}
    answers: dict[int, Answer] = {}
    while len(answers) < len(found):
        waiting = [each.reader for each in found if each.reader not in answers]
        ready, _, _ = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return Answer(missing=f"{len(found)} processes still running after {seconds:g} s: stopped")
        for reader in ready:
            chunk = os.read(reader, 1 << 16)
            texts[reader] += chunk
            if not chunk:
                answers[reader] = _read(texts[reader])
                if answers[reader].missing is not None:
                    return answers[reader]
    return answers[found[0].reader]


def _read(text: bytes) -> Answer:
    try:
        return Answer.from_json(text.decode(errors="replace"))
    except (ValueError, TypeError, KeyError):
        return Answer(missing="a rank ended without an answer")


def _be_rank(job: Job, rank: int, writer: int) -> NoReturn:
    try:
        ranks = _met(job, rank)
        # The seam for a sandbox: the ranks are connected; from here on they need what open sockets need.
        confine(job.timeout)
        from ga_lint.verify.worker.examine import examine_together

        answer = examine_together(job, ranks)
    except BaseException as error:  # noqa: BLE001 - whatever happened, the parent must hear of it
        answer = Answer(missing=f"the ranks could not be started: {type(error).__name__}: {error}")
    data = answer.to_json().encode()
    while data:
        data = data[os.write(writer, data) :]
    os.close(writer)
    if answer.missing is not None:
        time.sleep(job.timeout)  # until it is killed: that it is gone must not be what the others fail with
    os._exit(0)


def _met(job: Job, rank: int) -> Processes:
    """Meet the other ranks by a file in the site's own folder, and talk over the loopback device."""
    # accelerate and the user's code read their rank from where a launcher would put it
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(job.ranks), LOCAL_WORLD_SIZE=str(job.ranks))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")  # asked for, not used: the group exists already
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    backend = "gloo"
    if job.device != "cpu":
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        backend,
        init_method=f"file://{Path.cwd()}/rendezvous",
        rank=rank,
        world_size=job.ranks,
        timeout=timedelta(seconds=job.timeout),
    )
    distributed.barrier()
    found = Processes(rank, job.ranks, fsdp=job.fsdp)
    be_one_of(found)
    return found
