"""What becomes of one site? A forked child under limits, the pipe for its answer, and its end."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time

from ga_lint.verify.job import Answer, Job
from ga_lint.verify.worker.sandbox.confine import close_descriptors, die_with

MAX_ANSWER = 1 << 20  # bytes; an answer has some thousand


class Child:
    """One forked process and what it has said so far."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = tempfile.mkdtemp(prefix="site-")
        self.reader, writer = os.pipe()
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            _be_child(job, self.folder, writer, parent)
        os.close(writer)
        self.deadline = time.monotonic() + job.timeout
        self._found = b""

    def take(self) -> bool:
        """Read what has come; whether more may follow."""
        chunk = os.read(self.reader, 1 << 16)
        self._found += chunk
        return bool(chunk) and len(self._found) <= MAX_ANSWER

    def stop(self) -> Answer:
        """End it at its time limit."""
        self.end()
        return Answer(missing=f"still running after {self.job.timeout:g} s: stopped")

    def answer(self) -> Answer:
        """What it said, once it has said everything, or what became of it."""
        status = self.end()
        try:
            answer = Answer.from_json(self._found.decode(errors="replace"))
        except (ValueError, RecursionError):
            return Answer(missing=f"the check ended without an answer ({_ending(status)})")
        if not answer.is_whole(self.job) or answer.dtype != self.job.dtype:
            return Answer(missing="the check ended with an answer to something else")
        return answer

    def end(self) -> int:
        """Kill what is left of it; its exit status."""
        for kill in (os.killpg, os.kill):  # the group does not exist before the child's setsid()
            try:
                kill(self.process, signal.SIGKILL)
                break
            except (ProcessLookupError, PermissionError):
                continue
        _, status = os.waitpid(self.process, 0)
        os.close(self.reader)
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


def examined(job: Job) -> Answer:
    """Run one site in this process, which can do nothing else afterwards."""
    from ga_lint.verify.worker.parts import examine_in_parts

    return examine_in_parts(job)


def _be_child(job: Job, folder: str, writer: int, parent: int) -> None:
    try:
        os.setsid()
        die_with(parent)
        close_descriptors(writer)
        os.chdir(folder)
        data = examined(job).to_json().encode()
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"
