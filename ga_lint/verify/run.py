"""Who runs the checks, and what happens when one hangs, dies or cannot start? The parent's side of the worker."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Self

from ga_lint.verify.job import Job
from ga_lint.verify.judge import judge
from ga_lint.verify.model import Outcome, Settings, Site, SiteKind, Verdict

SWEEP_SECONDS = 60.0  # 22 runs of a site, of 0.01-0.2 s each
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

    def verify(self, site: Site) -> Verdict:
        """The verdict for one site; a worker that died is started again for the next."""
        unavailable = available(site.kind)
        if unavailable is not None:
            return Verdict(site, Outcome.NOT_VERIFIABLE, reason=unavailable)
        worker, job = self.workers[_is_heavy(site)], _job(site, self.settings)
        answer = worker.ask(job)
        judgement = judge(answer, site.rewritten is not None)
        verdict = Verdict(site, judgement.outcome, judgement.runs, answer.assumptions, judgement.reason)
        if not self.settings.sweep or answer.missing is not None:
            return verdict
        more = replace(job, sweep=True, timeout=max(SWEEP_SECONDS, job.timeout))
        return replace(verdict, sweep=worker.ask(more).sweep)

    def close(self) -> None:
        for worker in self.workers.values():
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
