"""The warm worker: imports torch once, then forks one limited child for each site, several at a time.

JSON lines in, JSON lines out. Where nothing can be forked (Windows), one worker examines one site, itself, and ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import shutil
import sys
import time

from ga_lint.verify.job import READY, Envelope, Job
from ga_lint.verify.worker.children import Child, examined
from ga_lint.verify.worker.sandbox.network import leave_network


def main(kind: str, once: bool = False) -> None:
    """Answer each job, after a first line that says whether the worker could start."""
    answers = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # whatever a library prints must not reach the protocol
    os.dup2(null, 2)
    if not once:
        leave_network()
    try:
        _preload(kind)
        failure = ""
    except ImportError as error:
        failure = f"{error}; install it with: pip install 'ga-lint[verify]'"
    _send(answers, READY, failure)
    gc.collect()
    gc.freeze()  # children share the pages
    if once:
        _examine_one(answers)
    else:
        Worker(0, answers).serve()


def _preload(kind: str) -> None:
    """Import what every child needs; nothing runs backward here, autograd's threads do not survive a fork."""
    import torch

    torch.set_num_threads(1)
    names = ["examine", "loss_function", "loop", "parts"]
    if kind == "transformers":
        names.append("trainer")
        for name in ("transformers", "accelerate"):
            importlib.import_module(name)
    for name in names:
        module = importlib.import_module(f"ga_lint.verify.worker.{name}")
        if hasattr(module, "preload"):
            module.preload()
    model = torch.nn.Linear(2, 2)
    torch.optim.SGD(model.parameters(), lr=0.1).zero_grad()  # pulls in torch._dynamo, 1 s in each child otherwise


class Worker:
    """Jobs as they come, and a child for each. It ends with its parent: when nobody can send another job."""

    def __init__(self, jobs: int, answers: int) -> None:
        self._jobs, self._answers = jobs, answers
        self._children: dict[int, tuple[int, Child]] = {}  # by the descriptor that their answer comes from
        self._buffer = b""
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        folder = os.getcwd()
        self._selector.register(self._jobs, selectors.EVENT_READ)
        try:
            while self._turn():
                pass
        finally:
            for _, child in self._children.values():
                child.end()
            shutil.rmtree(folder, ignore_errors=True)  # the parent may have been killed

    def _turn(self) -> bool:
        """Wait for the next thing to happen; whether there can be another."""
        for key, _ in self._selector.select(self._patience()):
            if key.fd == self._jobs:
                if not self._take_jobs():
                    return False
            elif not self._children[key.fd][1].take():
                number, child = self._dismissed(key.fd)
                _send(self._answers, number, child.answer().to_json())
        now = time.monotonic()
        for reader in [reader for reader, (_, child) in self._children.items() if child.deadline <= now]:
            number, child = self._dismissed(reader)
            _send(self._answers, number, child.stop().to_json())
        return True

    def _patience(self) -> float | None:
        deadlines = [child.deadline for _, child in self._children.values()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _take_jobs(self) -> bool:
        chunk = os.read(self._jobs, 1 << 16)
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            envelope = Envelope.from_line(line)
            child = Child(Job.from_json(envelope.content))
            self._children[child.reader] = envelope.number, child
            self._selector.register(child.reader, selectors.EVENT_READ)
        return bool(chunk)

    def _dismissed(self, reader: int) -> tuple[int, Child]:
        self._selector.unregister(reader)
        return self._children.pop(reader)


def _examine_one(answers: int) -> None:
    line = sys.stdin.buffer.readline()
    if line:
        envelope = Envelope.from_line(line)
        _send(answers, envelope.number, examined(Job.from_json(envelope.content)).to_json())


def _send(answers: int, number: int, content: str) -> None:
    data = Envelope(number, content).to_line()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone; the end of the jobs says so too
        while data:
            data = data[os.write(answers, data) :]


if __name__ == "__main__":
    main(sys.argv[1], once="once" in sys.argv[2:])
