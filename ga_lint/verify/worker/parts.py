"""What was asked for besides the runs that decide? Rows in other types and on other devices, and real ranks.

Each part is a process of its own: a dtype, a device and a process group hold for a whole process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ga_lint.verify.job import Answer, Job, Measurement
from ga_lint.verify.worker.confined import confined
from ga_lint.verify.worker.devices import show_only, wake
from ga_lint.verify.worker.examine import examine
from ga_lint.verify.worker.processes import ended, on_processes, started
from ga_lint.verify.worker.sandbox.profiles import DEVICE, STRICT


def examine_in_parts(job: Job) -> Answer:
    """Everything about one site. This process is confined only after the others have been started and have ended."""
    job = replace(job, timeout=job.timeout / (1 + len(job.rows) + bool(job.ranks)))  # each part's share
    together = on_processes(job) if job.ranks else None
    rows = [(name, _apart(each)) for name, each in _rows(job)]
    answer = _examined(job)
    if answer.missing is not None:
        return answer
    if together is not None:
        answer = _with_ranks(answer, together, job.ranks)
    for name, found in rows:
        answer = _with_row(answer, found, name)
    return answer


def _examined(job: Job) -> Answer:
    show_only(job.device)
    if job.device == "cpu":
        return confined(job.timeout, lambda: examine(job), STRICT)
    wake()
    return confined(job.timeout, lambda: examine(job), DEVICE)


def _rows(job: Job) -> Iterator[tuple[str, Job]]:
    for dtype, device in job.rows:
        name = dtype if device == "cpu" else f"{dtype} on {device}"
        yield name, replace(job, dtype=dtype, device=device, rows=(), ranks=0)


def _apart(job: Job) -> Answer:
    return ended([started(lambda: _examined(job))], job.timeout)


def _with_ranks(answer: Answer, found: Answer, ranks: int) -> Answer:
    """What real ranks measured has the same say as the emulation; a site without ranks has none."""
    if answer.stack is None:
        return answer
    measurements = found.measurements
    if found.missing is not None:
        measurements = (Measurement("R4", f"{ranks} processes", failure=found.missing, ranks=ranks),)
    more = tuple(each for each in found.assumptions if each not in answer.assumptions)
    assumptions = (*answer.assumptions[:-1], *more, *answer.assumptions[-1:])
    return replace(answer, measurements=(*answer.measurements, *measurements), assumptions=assumptions)


def _with_row(answer: Answer, found: Answer, name: str) -> Answer:
    if found.missing is not None:
        return replace(answer, assumptions=(*answer.assumptions, f"{name} could not be run: {found.missing}"))
    return replace(answer, rows=(*answer.rows, *(replace(each, row=name) for each in found.measurements)))
