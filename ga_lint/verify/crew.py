"""Which worker takes which site, and how many at a time? When one dies, nothing is lost but the site it died of."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ga_lint.verify import process
from ga_lint.verify.job import READY, Answer, Envelope, Job
from ga_lint.verify.process import Line, WorkerProcess

START_SECONDS = 120.0  # importing torch and transformers takes 3-6 s, far longer on a cold network disk
GRACE_SECONDS = 10.0  # the worker kills its child at the limit; if even that hangs, we kill the worker
_TICK = 0.5  # s; Windows hears of Ctrl-C between waits only


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, through no fault of the code under examination that is known: nothing was found out."""

    reason: str


@dataclass(slots=True)
class Task:
    """One job, and the kind of worker that it wants."""

    number: int
    kind: str
    job: Job


@dataclass(slots=True)
class _Post:
    """A worker of one kind, what waits for it and what it is busy with."""

    worker: WorkerProcess
    waiting: deque[Task] = field(default_factory=deque)
    busy: dict[int, tuple[Task, float]] = field(default_factory=dict)  # with the time at which we give it up
    ready: bool = False
    starts_by: float | None = None  # while it starts: the time at which we give it up
    cannot: str | None = None  # why it will not start however often it is tried: something is not installed
    suspects: set[int] = field(default_factory=set)  # one of these has killed a worker: each now runs alone

    def room(self) -> bool:
        """Whether it can take another job, as far as it is concerned."""
        return self.ready and (not self.busy or (process.FORKS and not self.suspects))


class Crew:
    """A worker with torch alone and one with transformers too, started when they are needed, `width` jobs at a time."""

    def __init__(self, width: int, sees_devices: bool = False) -> None:
        self.width, self.sees_devices = width, sees_devices
        self._lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._posts: dict[str, _Post] = {}
        self._next = 0

    def answers(self, jobs: Sequence[tuple[str, Job]]) -> Iterator[tuple[int, Answer | Lost]]:
        """The answer to each job, with its place among `jobs`, as they come."""
        first, self._next = self._next, self._next + len(jobs)
        for post in self._posts.values():
            post.waiting.clear()  # whoever asked for those has gone away; what runs is answered to nobody
        for number, (kind, job) in enumerate(jobs, first):
            self._post(kind).waiting.append(Task(number, kind, job))
        done = 0
        while done < len(jobs):
            for number, answer in self._turn():
                if number >= first:
                    done += 1
                    yield number - first, answer

    def close(self) -> None:
        """End all workers, with what they are doing."""
        for post in self._posts.values():
            post.worker.close(patient=post.ready)
        self._posts.clear()

    def _turn(self) -> Iterator[tuple[int, Answer | Lost]]:
        """Hand out what there is room for, and hear what comes of it."""
        for post in self._posts.values():
            yield from self._fill(post)
            yield from self._give_up(post)
        yield from self._hear()

    def _post(self, kind: str) -> _Post:
        if kind not in self._posts:
            self._posts[kind] = _Post(WorkerProcess(kind, self._lines, self.sees_devices))
        return self._posts[kind]

    def _fill(self, post: _Post) -> list[tuple[int, Answer | Lost]]:
        """Start the worker or hand it jobs, as far as there is room; what was lost by that."""
        if not post.waiting:
            return []
        if post.cannot is not None:
            return self._fail_start(post, post.cannot)
        if post.starts_by is None and not post.worker.is_running:
            post.ready = False
            try:
                post.worker.start()
            except OSError as error:
                return self._fail_start(post, f"the {post.worker.kind} worker could not be started: {error}")
            post.starts_by = time.monotonic() + START_SECONDS
        while post.waiting and post.room() and sum(len(each.busy) for each in self._posts.values()) < self.width:
            task = post.waiting.popleft()
            post.busy[task.number] = task, time.monotonic() + task.job.timeout + GRACE_SECONDS
            try:
                post.worker.send(task.number, task.job)
            except OSError:
                return self._bury(post)
        return []

    def _hear(self) -> Iterator[tuple[int, Answer | Lost]]:
        """Wait for a line, not for long, and take it in."""
        try:
            line = self._lines.get(timeout=_TICK)
        except queue.Empty:
            return
        post = self._posts.get(line.worker.kind)
        if post is None or line.start != post.worker.starts:
            return  # of a worker that has been buried
        if line.envelope is None:
            yield from self._bury(post)
        elif line.envelope.number == READY:
            yield from self._begin(post, line.envelope.content)
        elif line.envelope.number in post.busy:
            yield from self._take(post, line.envelope)

    def _begin(self, post: _Post, failure: str) -> list[tuple[int, Answer | Lost]]:
        if failure:
            post.cannot = failure
            return self._fail_start(post, failure)
        post.starts_by, post.ready = None, True
        return []

    def _take(self, post: _Post, envelope: Envelope) -> list[tuple[int, Answer | Lost]]:
        try:
            answer = Answer.from_json(envelope.content)
        except (ValueError, RecursionError):
            answer = Answer()
        task, _ = post.busy[envelope.number]
        if not answer.is_whole(task.job):  # only a worker that examines its site itself can be made to say such a thing
            return self._bury(post)
        del post.busy[envelope.number]
        post.suspects.discard(envelope.number)
        if not process.FORKS:
            post.worker.close()
        return [(envelope.number, answer)]

    def _give_up(self, post: _Post) -> list[tuple[int, Answer | Lost]]:
        """What is lost because a worker did not start or answer in time."""
        now = time.monotonic()
        late = [limit for _, limit in post.busy.values() if limit < now]
        if late or (post.starts_by is not None and post.starts_by < now):
            return self._bury(post)
        return []

    def _bury(self, post: _Post) -> list[tuple[int, Answer | Lost]]:
        """A worker has died or hangs. It is started again for what it did not finish, one job at a time."""
        if post.starts_by is not None:
            return self._fail_start(post, f"the {post.worker.kind} worker could not start")
        post.worker.close()
        post.ready = False
        tasks = [task for task, _ in post.busy.values()]
        post.busy.clear()
        if len(tasks) == 1:
            post.suspects.discard(tasks[0].number)
            return [(tasks[0].number, Lost("the worker process died or hung on it; the other sites have another one"))]
        post.suspects.update(task.number for task in tasks)
        post.waiting.extendleft(reversed(tasks))
        return []

    def _fail_start(self, post: _Post, reason: str) -> list[tuple[int, Answer | Lost]]:
        post.worker.close()
        post.ready, post.starts_by = False, None
        post.suspects.clear()
        lost: list[tuple[int, Answer | Lost]] = [(task.number, Lost(reason)) for task in post.waiting]
        post.waiting.clear()
        return lost
