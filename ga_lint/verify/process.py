"""How is a worker process started, spoken to, and put away? Lines through pipes, a scrubbed environment."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ga_lint
from ga_lint.verify.job import Envelope, Job

FORKS = hasattr(os, "fork")  # else a worker examines one site itself, and ends
LEAVE_SECONDS = 2.0  # for a worker to end its children; it needs milliseconds
# What a Python with torch needs to start. Everything else (tokens, keys, proxies) stays with the parent.
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONHOME"),
    *("SYSTEMROOT", "WINDIR", "PATHEXT", "COMSPEC"),
)
_SET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "ACCELERATE_USE_CPU": "true",
    "OMP_NUM_THREADS": "1",  # one thread: the same sums in the same order
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # macOS ends forked children of frameworks otherwise
}


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a worker said; `envelope` is None when it said nothing sensible, or nothing more."""

    worker: WorkerProcess
    start: int  # which of the worker's starts it came from
    envelope: Envelope | None


class WorkerProcess:
    """One worker, which can be started again after it died. What it says goes into `lines`."""

    def __init__(self, kind: str, lines: queue.SimpleQueue[Line], sees_devices: bool = False) -> None:
        self.kind, self.sees_devices = kind, sees_devices
        self.starts = 0
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it afresh; its first line says whether it could."""
        self.close()
        self.starts += 1
        self._folder = tempfile.mkdtemp(prefix="ga-lint-verify-")
        self._process = subprocess.Popen(
            command(self.kind),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=_environment(self._folder, self.sees_devices),
            start_new_session=True,  # Ctrl-C in the terminal is for us; we end the worker
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows' way to say that
        )
        arguments = (self._process.stdout, self.starts)
        threading.Thread(target=self._listen, args=arguments, daemon=True).start()

    def send(self, number: int, job: Job) -> None:
        """OSError if it has died."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(Envelope(number, job.to_json()).to_line())
        self._process.stdin.flush()

    def close(self, patient: bool = False) -> None:
        """End the worker with everything it started, and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()  # upon which it ends its children, wherever they are
            if patient:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LEAVE_SECONDS)
            _kill(process)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _listen(self, pipe: IO[bytes], start: int) -> None:
        with pipe:
            for line in pipe:
                try:
                    self._lines.put(Line(self, start, Envelope.from_line(line)))
                except (ValueError, RecursionError):
                    break
            self._lines.put(Line(self, start, None))


def command(kind: str) -> list[str]:
    """The command line of a worker."""
    return [sys.executable, "-P", "-m", "ga_lint.verify.worker", kind, *([] if FORKS else ["once"])]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment(folder: str, sees_devices: bool) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    package = str(Path(ga_lint.__file__).resolve().parent.parent)
    search = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"HOME": folder, "TMPDIR": folder, "TEMP": folder, "TMP": folder, "HF_HOME": folder, "PYTHONPATH": search}
    found = {**passed, **_SET, **own}
    if sees_devices:  # what the children are told not to use is up to each of them
        del found["CUDA_VISIBLE_DEVICES"], found["ACCELERATE_USE_CPU"]
        found.update({name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in os.environ})
        found["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a worker that touched the driver could not fork
    return found
