"""What do numbers say about a rewrite, before it is written?"""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from functools import cache
from typing import Self

from ga_lint.cli.judged import SCALE_FACTORS, as_judged
from ga_lint.diagnostics import Finding
from ga_lint.engine.facts_of import excluding, uncounted_rows
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.engine.scope import Scope
from ga_lint.grammar import readable
from ga_lint.source import SourceFile
from ga_lint.verify import Outcome, Settings, Site, SiteKind, Verdict, Verifier, site_at

_PASSES_COUNT = "accept-count"  # this rewrite shows on a model that the Trainer passes no count for, and on no other


def site_of(trial: Trial) -> Site | None:
    """What is to be run for a rewrite; a fault of the scale alone asks for the scale alone."""
    site = site_at(trial.before.path, readable(trial.before.text), trial.finding.span.start.row)
    if site is None:
        return None
    scale_only = trial.finding.effect.factor in SCALE_FACTORS and site.kind is SiteKind.LOOP
    withheld = trial.finding.fix is not None and trial.finding.fix.fixer == _PASSES_COUNT
    site = replace(site, rewritten=readable(trial.after.text), ragged=False if scale_only else None, withheld=withheld)
    return in_cell(site, trial.before)


def in_cell(site: Site, source: SourceFile) -> Site:
    """The site with the notebook's cell that it stands in, if it stands in one."""
    part = source.part_of(site.row)
    return replace(site, cell=part.cell, rows_above=part.rows_above)


def of_project(site: Site, source: SourceFile, scope: Scope) -> Site:
    """The site with what its project says: whether its models take a count, and which release it was written for."""
    if site.kind is not SiteKind.TRAINER:
        return site
    site = replace(site, withheld=site.withheld or site.row in uncounted_rows(source, scope))
    installed = _installed()
    excluded = None if installed is None else excluding(scope, site.path, "transformers", installed)
    if excluded is None:
        return site
    return replace(site, notes=(f"run on transformers {installed}, which {excluded} does not admit",))


@cache
def _installed() -> str | None:
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return None


class Confirmer:
    """Runs each rewrite in a warm worker and keeps the verdicts."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._verifier = Verifier(settings or Settings())
        self.verdicts: dict[Finding, Verdict] = {}

    def __call__(self, trial: Trial) -> Answer:
        site = site_of(trial)
        if site is None:
            return Answer(Judgement.UNKNOWN, "nothing around it can be run")
        verdict = self.verdicts[trial.finding] = as_judged(trial.finding, self._verifier.verify(site))
        match verdict.outcome:
            case Outcome.CONFIRMED:
                return Answer(Judgement.CONFIRMED)
            case Outcome.REFUTED:
                return Answer(Judgement.REFUTED, verdict.reason or "the gradient is still wrong")
            case Outcome.CORRECT:
                return Answer(Judgement.REFUTED, "the code is right as it is")
            case outcome:
                reason = f": {verdict.reason}" if verdict.reason else ""
                return Answer(Judgement.UNKNOWN, f"{outcome.value}{reason}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._verifier.close()
