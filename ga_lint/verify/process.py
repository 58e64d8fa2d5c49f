"""How is a worker process started, asked, and put away? Pipes with JSON lines, an environment of allowed variables."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ga_lint
from ga_lint.verify.job import Answer, Job

START_SECONDS = 120.0  # importing torch and transformers takes 3-6 s, far longer on a cold network disk
GRACE_SECONDS = 10.0  # the worker kills its child at the limit; if even that hangs, we kill the worker
# What a Python with torch needs to start. Everything else (tokens, keys, proxies) stays with the parent.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONHOME")
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
}


class WorkerProcess:
    """One worker, started at the first question and again after it died."""

    def __init__(self, heavy: bool, sees_devices: bool = False) -> None:
        self.heavy, self.sees_devices = heavy, sees_devices
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None
        self._buffer = b""

    def ask(self, job: Job) -> Answer:
        """The worker's answer, or one that says why there is none."""
        failure = self._start()
        if failure is not None:
            return Answer(missing=failure)
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(job.to_json().encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(job.timeout + GRACE_SECONDS)
        except OSError:
            line = None
        if line is None:
            self.close()
            return Answer(missing="the worker process died or hung; it is started again for the next site")
        return Answer.from_json(line)

    def close(self) -> None:
        """End the worker with everything it started, and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._buffer = b""

    def _start(self) -> str | None:
        if self._process is not None and self._process.poll() is None:
            return None
        self.close()
        self._folder = tempfile.mkdtemp(prefix="ga-lint-verify-")
        kind = "transformers" if self.heavy else "torch"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ga_lint.verify.worker", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=_environment(self._folder, self.sees_devices),
            start_new_session=True,
        )
        line = self._line(START_SECONDS)
        if line is None:
            self.close()
            return f"the {kind} worker could not start"
        failure = Answer.from_json(line).missing
        if failure is not None:
            self.close()
        return failure

    def _line(self, seconds: float) -> str | None:
        """The next line from the worker, or None at the time limit or at its end."""
        assert self._process is not None and self._process.stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    return None
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


def _environment(folder: str, sees_devices: bool) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    package = str(Path(ga_lint.__file__).resolve().parent.parent)
    search = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"HOME": folder, "TMPDIR": folder, "HF_HOME": folder, "PYTHONPATH": search}
    found = {**passed, **_SET, **own}
    if sees_devices:  # what the children are told not to use is up to each of them
        del found["CUDA_VISIBLE_DEVICES"], found["ACCELERATE_USE_CPU"]
        found.update({name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in os.environ})
        found["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a worker that touched the driver could not fork
    return found
