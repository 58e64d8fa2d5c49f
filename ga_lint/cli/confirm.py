"""What do numbers say about a rewrite, before it is written?"""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from functools import cache
from typing import Self

from ga_lint.diagnostics import EffectKind, Finding
from ga_lint.engine.facts_of import excluding, uncounted_rows
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.engine.scope import Scope
from ga_lint.source import SourceFile
from ga_lint.verify import Outcome, Settings, Site, SiteKind, Verdict, Verifier, site_at
from ga_lint.verify.judge import SHORT_WINDOW

_SHORT_WINDOW = "window/GAS"  # the factor of what is wrong with the last window alone
_PASSES_COUNT = "accept-count"  # this rewrite shows on a model that the Trainer passes no count for, and on no other


def site_of(trial: Trial) -> Site | None:
    """What is to be run for a rewrite; a fault of the scale alone asks for the scale alone."""
    site = site_at(trial.before.path, trial.before.text, trial.finding.span.start.row)
    if site is None:
        return None
    scale_only = trial.finding.effect.factor in ("GAS", "1/GAS", _SHORT_WINDOW) and site.kind is SiteKind.LOOP
    withheld = trial.finding.fix is not None and trial.finding.fix.fixer == _PASSES_COUNT
    site = replace(site, rewritten=trial.after.text, ragged=False if scale_only else None, withheld=withheld)
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


def of_ranks(finding: Finding) -> bool:
    """Does the fault show on several ranks only? One process then finds both texts right."""
    return finding.effect.factor is not None and "N" in finding.effect.factor.split("*")[0].split("/")


def of_objective(finding: Finding) -> bool:
    """Is the code's own objective another than the mean over targets, with or without accumulation?"""
    return finding.effect.factor in ("factor/targets", "targets/count")


def as_judged(finding: Finding, verdict: Verdict) -> Verdict:
    """The verdict for what the finding says: ranks alone clear a fault of the ranks, full windows no short one.

    A rewrite that mends the objective is not refuted by changing it.
    """
    if verdict.outcome is Outcome.REFUTED and of_objective(finding) and (verdict.reason or "").startswith("R3"):
        reason = "the code's own objective is wrong without accumulation too, so there is nothing to compare with"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    if verdict.outcome is Outcome.CORRECT and of_ranks(finding) and not any(run.name == "R4" for run in verdict.runs):
        reason = "one process cannot show a rank factor; the rewrite changes nothing there"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    if verdict.outcome is Outcome.CORRECT and finding.effect.factor == _SHORT_WINDOW:
        reason = "it did not step on a short last window when it was run alone"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    return verdict


def is_cleared(finding: Finding, verdict: Verdict) -> bool:
    """Do the numbers withdraw this finding? Only one that speaks of what a single process computes in full windows."""
    if verdict.outcome is not Outcome.CORRECT or finding.effect.kind not in (EffectKind.SCALE, EffectKind.WEIGHTS):
        return False
    if of_ranks(finding) or of_objective(finding) or "rank" in finding.effect.message:
        return False
    if finding.effect.kind is EffectKind.WEIGHTS and verdict.site.ragged is False:
        return False  # the scale alone was asked for
    decide = {SHORT_WINDOW, *(run.setting for run in verdict.runs[:1])}
    return all(run.relative_error <= run.allowed for run in verdict.runs if run.setting in decide and not run.row)


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
