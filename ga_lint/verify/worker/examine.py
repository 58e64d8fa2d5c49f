"""Which runs does a site get? R0 to R3, in every setting in which its code can be called."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from ga_lint.verify.job import Answer, Job, Measurement
from ga_lint.verify.judge import PER_EXAMPLE, SHORT_WINDOW
from ga_lint.verify.model import SiteKind
from ga_lint.verify.worker.data import Batch, Row
from ga_lint.verify.worker.measure import Gradient, compare
from ga_lint.verify.worker.neutral import NEUTRALISED, Steady, neutralise
from ga_lint.verify.worker.sources import Module
from ga_lint.verify.worker.stand_ins import NotVerifiable, Recorder, Unknown
from ga_lint.verify.worker.sweep import sweep


@dataclass(frozen=True)
class Pair:
    """The same windows twice: cut into micro-batches, and each as one batch. `short` is a short last window's place."""

    accumulated: list[Gradient]
    whole: list[Gradient]
    short: int | None = None


class Subject(Protocol):
    """A piece of user code that can be run with and without accumulation."""

    settings: tuple[str, ...]
    raises: str | None  # the error that the original ends with as it stands
    equal: str | None  # why its micro-batches all hold the same number of targets

    def pair(self, ragged: bool, setting: str) -> Pair: ...
    def windows(self, rows: Sequence[Row], steps: int, setting: str) -> Pair: ...


@dataclass
class Context:
    """What every subject is made from."""

    job: Job
    dtype: torch.dtype
    steady: Steady
    recorder: Recorder = field(default_factory=Recorder)


def examine(job: Job) -> Answer:
    """Run one site; whatever keeps it from running is part of the answer."""
    dtype = getattr(torch, job.dtype)
    steady = neutralise(dtype)
    context = Context(job, dtype, steady)
    Batch.unknown = lambda key: Unknown(key, context.recorder)
    try:
        original = _subject(context, job.original, job.row)
        if job.sweep:
            return _swept(context, original)
        equal = original.equal if job.ragged is None and job.rewritten is None else None
        if job.ragged is False:
            equal = "only the scale was asked for"
        measurements = tuple(_measure(context, original, ragged=equal is None))
    except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
        return Answer(missing=describe(error, job), assumptions=context.recorder.assumptions, dtype=job.dtype)
    assumptions = (*context.recorder.assumptions, NEUTRALISED)
    return Answer(measurements, assumptions, raises=original.raises, dtype=job.dtype, equal=equal)


def _swept(context: Context, original: Subject) -> Answer:
    """What the pictures of a report need; the rewrite is left out where it does not run."""
    job = context.job
    rewritten: Subject | None = None
    if job.rewritten is not None:
        with contextlib.suppress(Exception):  # the verdict has said why it does not run
            rewritten = _subject(context, job.rewritten, job.rewritten_row, order_of=job.original)
    found = sweep(original, rewritten, original.settings[0], job.seed, lambda error: describe(error, job))
    return Answer(sweep=found, dtype=job.dtype)


def _measure(context: Context, original: Subject, ragged: bool) -> Iterator[Measurement]:
    job = context.job
    for number, setting in enumerate(original.settings):
        if setting == PER_EXAMPLE and job.rewritten is not None:
            continue
        try:
            found = [*_runs(context, original, setting, ragged)]
        except (Exception, NotVerifiable) as error:
            if number == 0:
                raise
            if setting != PER_EXAMPLE:
                context.recorder.assume(f"the original does not run with {setting}: {describe(error, job)}")
            continue
        yield from found


def _runs(context: Context, original: Subject, setting: str, ragged: bool) -> Iterator[Measurement]:
    before = original.pair(False, setting)
    yield from _compared("R0", setting, before)
    if ragged:
        before = original.pair(True, setting)
        yield from _compared("R1", setting, before)
    job = context.job
    if job.rewritten is None:
        return
    try:
        rewritten = _subject(context, job.rewritten, job.rewritten_row, order_of=job.original)
        after = rewritten.pair(ragged, setting)
    except Exception as error:  # noqa: BLE001 - as above
        yield Measurement("R2", setting, failure=describe(error, job))
        return
    yield from _compared("R2", setting, after)
    windows = min(len(after.whole), len(before.whole))
    yield compare("R3", setting, after.whole[:windows], before.whole[:windows])


def _compared(name: str, setting: str, pair: Pair) -> Iterator[Measurement]:
    """One measurement over the full windows, and one over the short last window if the code steps on it."""
    full = [n for n in range(len(pair.whole)) if n != pair.short]
    yield compare(name, setting, [pair.accumulated[n] for n in full], [pair.whole[n] for n in full])
    if pair.short is not None:
        yield compare(name, SHORT_WINDOW, [pair.accumulated[pair.short]], [pair.whole[pair.short]])


def _subject(context: Context, text: str, row: int | None, order_of: str | None = None) -> Subject:
    module = Module(Path(context.job.path), text)
    kind = SiteKind(context.job.kind)
    if kind is SiteKind.TRAINER:
        from ga_lint.verify.worker.trainer import TrainerSubject

        return TrainerSubject(context, module, row)
    if kind is SiteKind.LOSS_FUNCTION:
        from ga_lint.verify.worker.loss_function import LossFunctionSubject

        return LossFunctionSubject(context, module, row)
    from ga_lint.verify.worker.loop import LoopSubject

    return LoopSubject(context, module, row, Module(module.path, order_of) if order_of is not None else None)


def describe(error: BaseException, job: Job) -> str:
    """What went wrong, and at which line of the user's code."""
    text = str(error) if isinstance(error, NotVerifiable) else f"{type(error).__name__}: {str(error)[:160]}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".py")]
    own = str(Path(__file__).parent)
    theirs = [f for f in frames if not f.filename.startswith(own) and "site-packages" not in f.filename]
    exact = [f for f in theirs if f.filename == job.path]
    for frame in reversed(exact or theirs):
        if "/lib/python" not in frame.filename:
            return f"{text} ({Path(frame.filename).name}:{frame.lineno})"
    return text
