"""Who measures on several ranks? Processes that are joined once and then asked again and again.

To start them and to import torch and transformers takes far longer than any measurement.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

PATIENCE = 240  # seconds for one question
_ANSWER = "answer: "  # libraries print too


class Crew:
    """One process a rank. A question goes to all of them, rank 0 answers."""

    def __init__(self, ranks: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._errors = [tempfile.TemporaryFile("w+") for _ in range(ranks)]  # noqa: SIM115 - as long as the processes
        base = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
        base["PYTHONPATH"] = str(Path(__file__).parents[1])
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "testbed.numeric"],
                env={**base, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )
            for rank, errors in enumerate(self._errors)
        ]  # fmt: skip
        atexit.register(self.close)

    def run(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask, and wait for all of them, so that none is still at work on the last question when the next one comes."""
        watch = threading.Timer(PATIENCE, self._kill)
        watch.start()
        try:
            for process in self._processes:
                assert process.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # what it died of is told below
                    print(json.dumps(question), file=process.stdin, flush=True)
            answers = [_answer_from(process.stdout) for process in self._processes]
        finally:
            watch.cancel()
        if None in answers:
            crew.cache_clear()  # the next test has ranks of its own
            self._kill()
            raise AssertionError("\n".join(self._said()))
        assert answers[0] is not None
        return answers[0]

    def close(self) -> None:
        """They end where there is nothing more to read."""
        for process in self._processes:
            process.communicate()
        for errors in self._errors:
            errors.close()

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()

    def _said(self) -> list[str]:
        for errors in self._errors:
            errors.seek(0)
        return [errors.read() for errors in self._errors]


@functools.cache
def crew(ranks: int) -> Crew:
    """The processes of this session."""
    return Crew(ranks)


def _answer_from(lines: IO[str] | None) -> list[dict[str, Any]] | None:
    """None where the process ended without one."""
    assert lines is not None
    for line in lines:
        if line.startswith(_ANSWER):
            found: list[dict[str, Any]] = json.loads(line.removeprefix(_ANSWER))
            return found
    return None


def serve(answer: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """What a rank does: answer each line that it is sent."""
    for line in sys.stdin:
        print(_ANSWER + json.dumps(answer(json.loads(line))), flush=True)
        gc.collect()
        gc.freeze()  # the libraries are loaded by now; accelerate collects after each training
