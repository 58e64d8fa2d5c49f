"""The warm worker: imports torch once, then forks one limited child for each site. JSON lines in, JSON lines out."""

from __future__ import annotations

import gc
import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time

from ga_lint.verify.job import Answer, Job


def main(kind: str) -> None:
    """Answer one line for each job, after a first one that says whether the worker could start."""
    answers = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # whatever a library prints must not reach the protocol
    os.dup2(null, 2)
    try:
        _preload(kind)
        ready = Answer()
    except ImportError as error:
        ready = Answer(missing=f"{error}; install it with: pip install 'ga-lint[verify]'")
    _send(answers, ready)
    gc.collect()
    gc.freeze()  # children share the pages
    for line in sys.stdin:
        _send(answers, _in_child(Job.from_json(line)))


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


def _in_child(job: Job) -> Answer:
    """The child's answer, or what became of it."""
    folder = tempfile.mkdtemp(prefix="site-")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(job, folder, writer)
    os.close(writer)
    text = _read(reader, job.timeout)
    os.close(reader)
    _kill_group(child)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if text is None:
        return Answer(missing=f"still running after {job.timeout:g} s: stopped")
    try:
        return Answer.from_json(text)
    except (ValueError, TypeError, KeyError):
        return Answer(missing=f"the check ended without an answer ({_ending(status)})")


def _be_child(job: Job, folder: str, writer: int) -> None:
    try:
        os.setsid()
        os.chdir(folder)
        from ga_lint.verify.worker.parts import examine_in_parts

        answer = examine_in_parts(job)
        data = answer.to_json().encode()
    except BaseException as error:  # noqa: BLE001 - whatever happened, the parent must hear of it
        data = Answer(missing=f"the check itself failed: {type(error).__name__}: {error}").to_json().encode()
    while data:
        data = data[os.write(writer, data) :]
    os._exit(0)


def _read(reader: int, seconds: float) -> str | None:
    """Everything the child writes until it closes its end, or None at the time limit."""
    deadline = time.monotonic() + seconds
    found = b""
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            return found.decode(errors="replace")
        found += chunk


def _kill_group(child: int) -> None:
    for kill in (os.killpg, os.kill):  # the group does not exist before the child's setsid()
        try:
            kill(child, signal.SIGKILL)
            return
        except (ProcessLookupError, PermissionError):
            continue


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"


def _send(answers: object, answer: Answer) -> None:
    answers.write(answer.to_json() + "\n")  # type: ignore[attr-defined]
    answers.flush()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
