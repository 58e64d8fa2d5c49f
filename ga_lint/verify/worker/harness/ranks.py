"""What would several ranks do? They are threads of one process that take turns: each runs until it meets a collective.

Turns make a run repeat exactly, let ranks share what torch keeps once a process (its random numbers, its default
dtype), and show a collective that not every rank reaches.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ga_lint.verify.runs import RANKS
from ga_lint.verify.worker.exceptions import NotVerifiable

_T = TypeVar("_T")


class Apart(NotVerifiable):
    """A rank waits for others that do something else."""


class _Stopped(BaseException):
    """Another rank failed: this one has nothing left to say."""


class _Here(threading.local):
    ranks: Ranks | None = None
    rank: int = 0
    is_set_up: bool = True


_HERE = _Here()
_REAL: Ranks | None = None


def here() -> Ranks | None:
    """The ranks that the running code is one of, or None in an ordinary run."""
    return _HERE.ranks


def rank() -> int:
    return _HERE.rank


def count() -> int:
    """How many ranks there are: 1 in an ordinary run."""
    return 1 if _HERE.ranks is None else _HERE.ranks.count


@contextlib.contextmanager
def being(ranks: Ranks, rank: int) -> Iterator[None]:
    """The running code is this rank."""
    _HERE.ranks, _HERE.rank = ranks, rank
    try:
        yield
    finally:
        _HERE.ranks, _HERE.rank = None, 0


def is_set_up() -> bool:
    """Whether the ranks run what they train, and not what comes before."""
    return _HERE.is_set_up


@contextlib.contextmanager
def setting_up() -> Iterator[None]:
    """Code of a constructor, taken apart: one rank may leave out what another would wait for."""
    _HERE.is_set_up = False
    try:
        yield
    finally:
        _HERE.is_set_up = True


def together(count: int) -> Ranks:
    """The ranks that work is given to: threads, or the processes of which this is one."""
    return Ranks(count) if _REAL is None else _REAL


def be_one_of(processes: Ranks) -> None:
    """From now on this process is one rank, and meets others."""
    global _REAL
    _REAL = processes


class Ranks:
    """Runs the same work once for each rank."""

    is_emulated = True

    def __init__(self, count: int = RANKS) -> None:
        self.count = count
        self.after_backward: list[list[Callable[[], None]]] = [[] for _ in range(count)]
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._paused = threading.Semaphore(0)
        self._waiting: dict[int, tuple[str, Any]] = {}
        self._given: list[Any] = []
        self._failures: dict[int, BaseException] = {}
        self._refusal: BaseException | None = None

    def run(self, work: Callable[[int], _T]) -> list[_T]:
        """What each rank returns, in their order. The first failure of one ends all, and is raised here."""
        results: dict[int, _T] = {}

        def body(number: int) -> None:
            self._turns[number].acquire()
            try:
                with being(self, number):
                    results[number] = work(number)
            except BaseException as error:  # noqa: BLE001 - whatever a rank ends with is raised by its caller
                self._failures[number] = error
            finally:
                self._paused.release()

        threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(self.count)]
        for thread in threads:
            thread.start()
        self._take_turns(threads)
        if self._failures:
            raise next((e for e in self._failures.values() if not isinstance(e, _Stopped)), Apart("no rank ended"))
        return [results[number] for number in range(self.count)]

    def wrapped(self, model: Any) -> Any:
        """The model under a real data-parallel wrapper; only processes have one."""
        raise NotImplementedError

    def exchange(self, what: str, value: Any) -> list[Any]:
        """Called by a rank: what every rank brought to this meeting, in their order."""
        self._waiting[_HERE.rank] = (what, value)
        self._paused.release()
        self._turns[_HERE.rank].acquire()
        if self._refusal is not None:
            raise self._refusal
        return self._given

    def _take_turns(self, threads: list[threading.Thread]) -> None:
        ready = list(range(self.count))
        while ready:
            number = ready.pop(0)
            self._turns[number].release()
            self._paused.acquire()
            if number not in self._waiting:
                threads[number].join()
            if self._failures and self._refusal is None:
                self._refusal = _Stopped()
            if not ready and self._waiting:
                self._meet()
                ready = sorted(self._waiting)
                self._waiting.clear()

    def _meet(self) -> None:
        whats = {number: what for number, (what, _) in self._waiting.items()}
        if self._refusal is not None:
            return
        if len(whats) < self.count:
            number, what = next(iter(whats.items()))
            self._refusal = Apart(f"rank {number} waits in {what}, and another rank has ended without it")
        elif len(set(whats.values())) > 1:
            told = ", ".join(f"rank {number} in {what}" for number, what in sorted(whats.items()))
            self._refusal = Apart(f"the ranks wait for each other: {told}")
        else:
            self._given = [self._waiting[number][1] for number in range(self.count)]
