"""Who runs the checks, and what happens when one hangs, dies or cannot start? The parent's side of the worker."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self

from ga_lint.verify.job import Answer, Job
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


class Verifier:
    """Checks sites in warm workers: one with torch alone, one with transformers too, as needed."""

    def __init__(self, settings: Settings) -> None:
        from ga_lint.verify.crew import Crew

        self.settings = settings
        self.crew = Crew(settings.workers, settings.sees_devices)

    def verify(self, site: Site) -> Verdict:
        """The verdict for one site; a worker that died is started again for the next."""
        ((_, verdict),) = self.verdicts([site])
        return verdict

    def verdicts(self, sites: Sequence[Site]) -> Iterator[tuple[int, Verdict]]:
        """The verdict for each site with its place among `sites`, as they come: several run at a time."""
        places = []
        for place, site in enumerate(sites):
            unavailable = available(site.kind)
            if unavailable is None:
                places.append(place)
            else:
                yield place, Verdict(site, Outcome.NOT_VERIFIABLE, reason=unavailable)
        jobs = [(_worker_for(sites[place]), _job(sites[place], self.settings)) for place in places]
        for number, answer in self.crew.answers(jobs):
            site = sites[places[number]]
            if isinstance(answer, Answer):
                yield places[number], _judged(site, answer)
            else:
                yield places[number], Verdict(site, Outcome.NOT_RUN, reason=answer.reason)

    def swept(self, verdicts: Mapping[int, Verdict]) -> Iterator[tuple[int, Verdict]]:
        """Those verdicts of which the code ran, with what the pictures of a report show, as they come."""
        places = [place for place, verdict in verdicts.items() if verdict.runs and self.settings.sweep]
        jobs = [(_worker_for(verdicts[place].site), _sweep(verdicts[place].site, self.settings)) for place in places]
        for number, answer in self.crew.answers(jobs):
            verdict = verdicts[places[number]]
            sweep = answer.sweep if isinstance(answer, Answer) else None  # without it there are no pictures
            yield places[number], replace(verdict, sweep=sweep)

    def close(self) -> None:
        self.crew.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _judged(site: Site, answer: Answer) -> Verdict:
    judgement = judge(answer, site.rewritten is not None)
    return Verdict(site, judgement.outcome, judgement.runs, (*site.notes, *answer.assumptions), judgement.reason)


def _worker_for(site: Site) -> str:
    """`transformers` where the slice is likely to import it or accelerate: better once there than in each child."""
    if site.kind is SiteKind.TRAINER:
        return "transformers"
    uses = "accelerate" in site.original or "transformers" in site.original
    return "transformers" if uses and available(SiteKind.TRAINER) is None else "torch"


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
        withheld=site.withheld,
        seed=settings.seed,
        dtype=settings.dtype,
        timeout=settings.timeout * settings.parts,
        rows=settings.rows,
        ranks=settings.ranks,
        ranks_device=settings.ranks_device,
        fsdp=settings.fsdp,
        adapter=None if settings.adapter is None else str(settings.adapter.absolute()),
    )


def _sweep(site: Site, settings: Settings) -> Job:
    timeout = max(SWEEP_SECONDS, settings.timeout)
    return replace(_job(site, settings), sweep=True, rows=(), ranks=0, timeout=timeout)
