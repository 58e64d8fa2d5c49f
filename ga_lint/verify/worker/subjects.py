"""What is run: which kind of subject is a site, and what is each made from?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from ga_lint.verify.job import Job
from ga_lint.verify.model import SiteKind
from ga_lint.verify.worker.adapter import Adapter
from ga_lint.verify.worker.harness.data import Batch
from ga_lint.verify.worker.harness.nested import Nested
from ga_lint.verify.worker.harness.neutral import Steady, neutralise
from ga_lint.verify.worker.harness.stand_ins import Recorder
from ga_lint.verify.worker.measure import Pair
from ga_lint.verify.worker.reading.sources import Module
from ga_lint.verify.worker.sweep import Swept


class Subject(Protocol):
    """A piece of user code that can be run with and without accumulation."""

    settings: tuple[str, ...]
    raises: str | None  # the error that the original ends with as it stands
    draws: bool  # whether it draws random numbers for its rows, as its first run has shown
    equal: str | None  # why its micro-batches all hold the same number of targets

    @property
    def stack(self) -> str | None:
        """What puts the code on several ranks, and who averages gradients there; None for a single process's."""
        ...

    def pair(self, ragged: bool, setting: str, ranks: int = 1) -> Pair: ...


class WholeSubject(Subject, Swept, Protocol):
    """One that is run as it stands: also in one process, on any rows, with any accumulation steps."""


@dataclass
class Context:
    """What every subject is made from."""

    job: Job
    dtype: torch.dtype
    steady: Steady
    recorder: Recorder = field(default_factory=Recorder)
    adapter: Adapter | None = None


def context_of(job: Job, device: str) -> Context:
    """Deterministic from here on; a part of a batch that no name tells gets a stand-in."""
    dtype = getattr(torch, job.dtype)
    context = Context(job, dtype, neutralise(dtype, device))
    Batch.unknown = lambda name, around: Nested(name, context.recorder, around)
    return context


def subject_of(context: Context, text: str, row: int | None, order_of: str | None = None) -> WholeSubject:
    """The site in `text` at `row`; a rewritten loop takes its batches in the order of the original, `order_of`."""
    module = Module(Path(context.job.path), text)
    kind = SiteKind(context.job.kind)
    if kind is SiteKind.TRAINER:
        from ga_lint.verify.worker.trainer import TrainerSubject

        return TrainerSubject(context, module, row)
    if kind is SiteKind.LOSS_FUNCTION:
        from ga_lint.verify.worker.loss_function import loss_subject

        return loss_subject(context, module, row)
    from ga_lint.verify.worker.loop import LoopSubject

    return LoopSubject(context, module, row, Module(module.path, order_of) if order_of is not None else None)
