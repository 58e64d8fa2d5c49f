"""Who runs the checks, and what happens when one hangs, dies or cannot start? The parent's side of the worker."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from ga_lint.verify.job import Job
from ga_lint.verify.judge import judge, runs_of, with_ranks
from ga_lint.verify.model import Outcome, Settings, Site, SiteKind, Verdict

if TYPE_CHECKING:
    from ga_lint.verify.process import WorkerProcess

_INSTALL = "install it with: pip install 'ga-lint[verify]'"
_NEEDS = {
    SiteKind.TRAINER: ("torch", "transformers", "accelerate"),
    SiteKind.LOOP: ("torch",),
    SiteKind.LOSS_FUNCTION: ("torch",),
}


def available(kind: SiteKind = SiteKind.TRAINER) -> str | None:
    """None when sites of this kind can be run, else the line that says what to install. Imports nothing."""
    missing = [name for name in _NEEDS[kind] if importlib.util.find_spec(name) is None]
    return f"the numeric check needs {' and '.join(missing)}; {_INSTALL}" if missing else None


def verify_sites(sites: Iterable[Site], settings: Settings | None = None) -> Iterator[Verdict]:
    """One verdict for each site, in their order. A check that fails to run costs its own verdict, no other."""
    from concurrent.futures import ThreadPoolExecutor

    chosen = settings or Settings()
    todo = list(sites)
    count = max(1, min(chosen.workers, len(todo)))
    crews: list[Verifier] = []
    local = threading.local()

    def work(site: Site) -> Verdict:
        crew: Verifier | None = getattr(local, "crew", None)
        if crew is None:
            crew = local.crew = Verifier(chosen)
            crews.append(crew)
        return crew.verify(site)

    pool = ThreadPoolExecutor(count)
    try:
        yield from pool.map(work, todo)
    finally:
        pool.shutdown(cancel_futures=True)
        for crew in crews:
            crew.close()


class Verifier:
    """Checks one site after another in warm workers: one with torch alone, one with transformers too, as needed."""

    def __init__(self, settings: Settings) -> None:
        from ga_lint.verify.process import WorkerProcess

        self.settings = settings
        self.workers = {heavy: WorkerProcess(heavy) for heavy in (False, True)}
        self.others: dict[tuple[bool, str], WorkerProcess] = {}

    def verify(self, site: Site) -> Verdict:
        """The verdict for one site; a worker that died is started again for the next."""
        unavailable = available(site.kind)
        if unavailable is not None:
            return Verdict(site, Outcome.NOT_VERIFIABLE, reason=unavailable)
        job, heavy = _job(site, self.settings), _is_heavy(site)
        answer = self.workers[heavy].ask(job)
        has_ranks = answer.stack is not None and site.kind is not SiteKind.LOSS_FUNCTION
        if answer.missing is None and self.settings.ranks and has_ranks:
            answer = with_ranks(
                answer, self._worker(heavy, self.settings.device).ask(self._on_ranks(job)), self.settings
            )
        judgement = judge(answer, site.rewritten is not None)
        runs, notes = [*judgement.runs], [*answer.assumptions]
        for row in self.settings.rows if answer.missing is None else ():
            found = self._worker(heavy, row.device).ask(replace(job, dtype=row.dtype, device=row.device))
            runs += runs_of(found, str(row))
            if found.missing is not None:
                notes.append(f"{row} could not be run: {found.missing}")
        return Verdict(site, judgement.outcome, tuple(runs), tuple(notes), judgement.reason)

    def _on_ranks(self, job: Job) -> Job:
        settings = self.settings
        return replace(job, ranks=settings.ranks, fsdp=settings.fsdp, device=settings.device)

    def _worker(self, heavy: bool, device: str) -> WorkerProcess:
        """The worker whose children may use that device; those on the CPU see no other."""
        from ga_lint.verify.process import WorkerProcess

        key = (heavy, device.partition(":")[0])
        if key not in self.others:
            self.others[key] = self.workers[heavy] if key[1] == "cpu" else WorkerProcess(heavy, device=key[1])
        return self.others[key]

    def close(self) -> None:
        for worker in (*self.workers.values(), *self.others.values()):
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_heavy(site: Site) -> bool:
    """Whether the slice is likely to import transformers or accelerate: better once there than in each child."""
    if site.kind is SiteKind.TRAINER:
        return True
    uses = "accelerate" in site.original or "transformers" in site.original
    return uses and available(SiteKind.TRAINER) is None


def _job(site: Site, settings: Settings) -> Job:
    return Job(
        path=str(site.path.absolute()),
        kind=site.kind.value,
        scope=site.scope,
        row=site.row,
        original=site.original,
        rewritten=site.rewritten,
        rewritten_row=site.rewritten_row,
        ragged=site.ragged,
        seed=settings.seed,
        dtype=settings.dtype,
        timeout=settings.timeout,
    )
