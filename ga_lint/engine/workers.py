"""How do several processes share a run? Copies of this one take batches of files until none are left.

Only imported where there is enough to do. A batch's number is read from a pipe that all copies share; what a copy finds
it writes to a pipe of its own, a line for each file, so that a copy that dies leaves the lines before its death, and
the name of the file that it died of.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence

from ga_lint.engine.discover import Target
from ga_lint.engine.look import Look, Looker, failed_in_worker, prepare
from ga_lint.engine.pack import pack, unpack

_NUMBER = 4  # bytes of a batch's number; a pipe hands over so few in one piece
_BATCHES = 4_000  # whose numbers surely fit into a pipe at once
_PIECE = 1 << 20
_TURNS = 4  # batches of each process, at least: none waits long for the last one
_BATCH = 8  # files, neighbours in one folder as a rule: they import the same

Progress = Callable[[int], None]


def available() -> bool:
    """Can this system copy a process?"""
    return hasattr(os, "fork")


def looks(targets: Sequence[Target], looker: Looker, jobs: int, progress: Progress) -> dict[int, Look]:
    """A look at each target by its index. This process works too."""
    prepare(targets, looker)
    size = max(min(_BATCH, len(targets) // (_TURNS * jobs)), math.ceil(len(targets) / _BATCHES), 1)
    queue = _queue(math.ceil(len(targets) / size))
    workers = [_Worker(targets, looker, queue, size) for _ in range(jobs - 1)]
    found: dict[int, Look] = {}
    for batch in _batches(queue, size, len(targets)):
        for index in batch:
            found[index] = looker.at(targets[index])
        for worker in workers:
            worker.read()
        progress(batch.stop)
    os.close(queue)
    for worker in workers:
        found |= worker.collected()
    for index, target in enumerate(targets):  # what a dead copy had taken, and what does not travel
        if index not in found:
            found[index] = looker.at(target)
    return found


def _queue(count: int) -> int:
    """The end of a pipe that the numbers of all batches can be read from."""
    reading, writing = os.pipe()
    os.write(writing, b"".join(number.to_bytes(_NUMBER, "little") for number in range(count)))
    os.close(writing)
    return reading


def _batches(queue: int, size: int, count: int) -> Iterator[range]:
    while number := os.read(queue, _NUMBER):
        start = int.from_bytes(number, "little") * size
        yield range(start, min(start + size, count))


class _Worker:
    """One copy of this process, and the pipe that it writes to."""

    def __init__(self, targets: Sequence[Target], looker: Looker, queue: int, size: int) -> None:
        self._targets = targets
        self._read = bytearray()
        self._reading, writing = os.pipe()
        gc.freeze()  # what is shared stays so: nobody writes marks into it
        self._process = os.fork()
        if self._process == 0:
            code = 1
            with contextlib.suppress(BaseException):  # whatever it is, the copy must not go on as if it were this one
                os.close(self._reading)
                _work(targets, looker, queue, size, writing)
                code = 0
            os._exit(code)
        os.close(writing)
        os.set_blocking(self._reading, False)

    def read(self) -> bool:
        """Take what it has written until now, so that it need not wait; False when it has ended."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reading, _PIECE):
                self._read += data
            return False
        return True

    def collected(self) -> dict[int, Look]:
        """What it found, when it has ended."""
        os.set_blocking(self._reading, True)
        self.read()
        os.close(self._reading)
        os.waitpid(self._process, 0)
        found: dict[int, Look] = {}
        begun: int | None = None
        for line in self._read.split(b"\n"):
            with contextlib.suppress(ValueError):  # a line that it died in
                match json.loads(line):
                    case int(index):
                        begun = index
                    case [packed, places] if begun is not None:
                        if packed is not None:
                            found[begun] = Look(unpack(self._targets[begun].path, packed), frozenset(places))
                        begun = None
        if begun is not None:
            found[begun] = failed_in_worker(self._targets[begun].path)
        return found


def _work(targets: Sequence[Target], looker: Looker, queue: int, size: int, pipe: int) -> None:
    for batch in _batches(queue, size, len(targets)):
        for index in batch:
            os.write(pipe, b"%d\n" % index)
            look = looker.at(targets[index])
            same = look.outcome.path == targets[index].path
            line = json.dumps([pack(look.outcome) if same else None, sorted(look.places)]).encode() + b"\n"
            while line:
                line = line[os.write(pipe, line) :]
