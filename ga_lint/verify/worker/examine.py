"""Which runs does a site get? R0 to R4, in every setting in which its code can be called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ga_lint.verify.job import Answer, Job, Measurement
from ga_lint.verify.model import SiteKind
from ga_lint.verify.runs import ON_RANKS, ORIGINAL, PER_EXAMPLE, RANKS, SHORT_WINDOW, is_doubt
from ga_lint.verify.thresholds import allowed_in, differs
from ga_lint.verify.worker.adapter import adapter_for
from ga_lint.verify.worker.exceptions import NotVerifiable, StepsUncontrolled
from ga_lint.verify.worker.failures import described, known_text, missing
from ga_lint.verify.worker.harness.neutral import NEUTRALISED
from ga_lint.verify.worker.harness.ranks import Ranks
from ga_lint.verify.worker.measure import Pair, compare, compare_pair
from ga_lint.verify.worker.reading.sources import Module
from ga_lint.verify.worker.subjects import Context, Subject, WholeSubject, context_of, subject_of
from ga_lint.verify.worker.sweep import sweep

NO_SHORT_STEP = "the original takes one step for the short last window, the rewritten code none, or several"


def examine(job: Job) -> Answer:
    """Run one site; whatever keeps it from running is part of the answer."""
    context = context_of(job, job.device)
    known_text(job.path, job.original)
    original: Subject
    try:
        context.adapter = adapter_for(job.path, job.adapter)
        if context.adapter is not None:
            context.recorder.assume(f"model and batches as {context.adapter.path.name} makes them")
        if job.sweep:
            return _swept(context)
        original = subject_of(context, job.original, job.row)
        equal = original.equal if job.ragged is None and job.rewritten is None else None
        if job.ragged is False:
            equal = "only the scale was asked for"
        measurements = tuple(_measure(context, original, ragged=equal is None))
    except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
        why = missing(error, job.path, context.recorder, job.row)
        if job.sweep:
            return Answer(missing=why, dtype=job.dtype)
        try:
            if isinstance(error, StepsUncontrolled):  # it may not accumulate at all
                raise
            original, measurements = _loss_only(context, why)
            equal = original.equal
        except (Exception, NotVerifiable):  # noqa: BLE001 - the first thing that was missing is the reason
            return _unbound(context, why)
    if original.draws and job.ragged is None:
        equal = None
    assumptions = (*context.recorder.assumptions, NEUTRALISED)
    return Answer(measurements, assumptions, raises=original.raises, dtype=job.dtype, equal=equal, stack=original.stack)


def examine_together(job: Job, ranks: Ranks) -> Answer:
    """R4 by a process for each rank, of which this is one; nothing for a single process's code."""
    context = context_of(job, job.ranks_device)
    try:
        context.adapter = adapter_for(job.path, job.adapter)
        original = judged = subject_of(context, job.original, job.row)
        if original.stack is None or SiteKind(job.kind) is SiteKind.LOSS_FUNCTION:
            return Answer(dtype=job.dtype)
        if job.rewritten is not None:
            judged = subject_of(context, job.rewritten, job.rewritten_row, order_of=job.original)

        def measured(name: str, subject: Subject, *, ragged: bool) -> Measurement:
            pair = subject.pair(ragged, subject.settings[0], ranks.count)
            return replace(compare_pair(name, str(ranks), pair, range(len(pair.whole))), ranks=ranks.count)

        found = [measured("R4", judged, ragged=job.ragged is not False)]
        if not found[0].relative_error < allowed_in(job.dtype):
            found.append(measured("R0", original, ragged=False))
    except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
        return Answer(missing=described(error, job.path), dtype=job.dtype)
    return Answer(tuple(found), context.recorder.assumptions, dtype=job.dtype)


def _unbound(context: Context, why: str) -> Answer:
    """Nothing was run; a Trainer's override may be known to fail all the same."""
    raises, job = None, context.job
    if SiteKind(job.kind) is SiteKind.TRAINER:
        from ga_lint.verify.worker.reading.signatures import certain_failure

        raises = certain_failure(job)
    return Answer(missing=why, assumptions=context.recorder.assumptions, dtype=job.dtype, raises=raises)


def _swept(context: Context) -> Answer:
    """What the pictures of a report need; the rewrite is left out where it does not run."""
    job = context.job
    original = subject_of(context, job.original, job.row)
    rewritten: WholeSubject | None = None
    if job.rewritten is not None:
        with contextlib.suppress(Exception):  # the verdict has said why it does not run
            rewritten = subject_of(context, job.rewritten, job.rewritten_row, order_of=job.original)
    found = sweep(original, rewritten, original.settings[0], job.seed, lambda error: described(error, job.path))
    return Answer(sweep=found, dtype=job.dtype)


def _loss_only(context: Context, why: str) -> tuple[Subject, tuple[Measurement, ...]]:
    """Where a loop did not run: what its loss does alone. No rewrite is judged by that."""
    job = context.job
    if SiteKind(job.kind) is not SiteKind.LOOP or job.rewritten is not None:
        raise NotVerifiable(why)
    from ga_lint.verify.worker.loss_only import LossOnlySubject

    subject = LossOnlySubject(context, Module(Path(job.path), job.original), job.row, why)
    return subject, tuple(_measure(context, subject, ragged=subject.equal is None))


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
            if setting != PER_EXAMPLE and not is_doubt(setting):
                context.recorder.assume(f"the original does not run with {setting}: {described(error, job.path)}")
            continue
        yield from found


def _runs(context: Context, original: Subject, setting: str, ragged: bool) -> Iterator[Measurement]:
    job = context.job
    before = original.pair(False, setting)
    alone = list(_compared("R0", setting, before))
    yield from alone
    ragged = ragged or (original.draws and job.ragged is None)
    if ragged:
        before = original.pair(True, setting)
        alone = list(_compared("R1", setting, before))
        yield from alone
    rewritten: Subject | None = None
    if job.rewritten is not None and not is_doubt(setting):
        known = set(context.recorder.unknown)
        try:
            rewritten = subject_of(context, job.rewritten, job.rewritten_row, order_of=job.original)
            after = rewritten.pair(ragged, setting)
        except Exception as error:
            part = next(
                (name for name in context.recorder.unknown if name.startswith("batch") and name not in known), ""
            )
            if part:  # what failed is a stand-in for it
                raise NotVerifiable(f"needs `{part}`, which only the rewrite reads") from error
            yield Measurement("R2", setting, failure=f"the rewritten code fails: {described(error, job.path)}")
            return
        found = list(_against(setting, before, after))
        yield from found
        if any(run.failure is not None or differs(run) for run in found):
            return  # refuted as it is
    if original.stack is not None and setting == original.settings[0]:
        is_right = alone[0].relative_error < allowed_in(job.dtype)
        if is_right or rewritten is not None:
            yield from _on_ranks(context, original, rewritten, setting, ragged=ragged, is_right=is_right)


def _against(setting: str, before: Pair, after: Pair) -> Iterator[Measurement]:
    """R2 and R3 of a rewrite."""
    yield from _compared("R2", setting, after)
    if before.short is not None and after.short is None:
        yield Measurement("R2", SHORT_WINDOW, failure=NO_SHORT_STEP)
    windows = min(len(after.whole), len(before.whole))
    yield compare("R3", setting, after.whole[:windows], before.whole[:windows])


def _on_ranks(
    context: Context, original: Subject, rewritten: Subject | None, setting: str, *, ragged: bool, is_right: bool
) -> Iterator[Measurement]:
    """R4. An original that is right in one process is run there too, and its equal counts are the control of a find."""
    context.recorder.assume(f"{RANKS} ranks are emulated in one process: {original.stack}")

    def attempt(name: str, told: str, subject: Subject, *, ragged: bool) -> list[Measurement]:
        try:
            return list(_compared(name, told, subject.pair(ragged, setting, RANKS)))
        except (Exception, NotVerifiable) as error:  # noqa: BLE001 - as above
            return [Measurement(name, told, failure=described(error, context.job.path))]

    found = attempt("R4", setting, rewritten or original, ragged=ragged)
    if rewritten is None:
        found = found[:1]
    elif is_right:
        found += attempt("R4", ORIGINAL, original, ragged=ragged)[:1]
    if any(run.failure is not None or not run.relative_error < allowed_in(context.job.dtype) for run in found):
        found += attempt("R0", ON_RANKS, original, ragged=False)[:1]
    yield from found


def _compared(name: str, setting: str, pair: Pair) -> Iterator[Measurement]:
    """One measurement over the full windows, and one over the short last window if the code steps on it."""
    yield compare_pair(name, setting, pair, pair.full)
    if pair.short is not None:
        yield compare_pair(name, SHORT_WINDOW, pair, [pair.short])
