"""What is reported about the sites that were run: the numbers, and what they mean for what `check` had found."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ga_lint.diagnostics import Diagnostic
from ga_lint.outcome import Report
from ga_lint.report.text import shown
from ga_lint.source import cell_prefix
from ga_lint.verify.impact import Impact, Law, scale_of
from ga_lint.verify.model import Outcome, Run, Site, Verdict
from ga_lint.verify.runs import ORIGINAL
from ga_lint.verify.thresholds import SCALE

FAULTS = frozenset({Outcome.CONFIRMED, Outcome.REFUTED, Outcome.WRONG, Outcome.MISSING_DIVISION})  # exit code 1
GRAVE = frozenset({Outcome.REFUTED, Outcome.MISSING_DIVISION})  # a rewrite that is wrong, a wrong scale


@dataclass(frozen=True, slots=True)
class SiteImpact:
    """What the fault of one site does to a training set of the user's."""

    law: Law
    impact: Impact

    @property
    def scale(self) -> float:
        """By what the gradients are multiplied, on one rank."""
        return scale_of(self.law.factor, self.impact.steps)

    @property
    def by_ranks(self) -> bool:
        """Does the number of ranks change the scale too?"""
        return self.law.factor is not None and "N" in self.law.factor


@dataclass(frozen=True, slots=True)
class SiteReport:
    """One site's verdict, and the findings of `check` there; `withdrawn` are those that the numbers clear."""

    verdict: Verdict
    findings: tuple[Diagnostic, ...] = ()
    withdrawn: tuple[Diagnostic, ...] = ()
    impact: SiteImpact | None = None  # where it was asked for, and the site is at fault

    @property
    def site(self) -> Site:
        return self.verdict.site

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome

    @property
    def is_fault(self) -> bool:
        return self.outcome in FAULTS

    @property
    def row(self) -> int:
        """1-based, as the user counts: in a notebook inside its cell."""
        return self.site.row - self.site.rows_above

    @property
    def line(self) -> str:
        """The source line that it stands in."""
        lines = self.site.original.splitlines()
        return lines[self.site.row - 1] if 0 < self.site.row <= len(lines) else ""

    def run(self, name: str) -> Run | None:
        """The worst run of this name in the first setting, or over ranks; None where there is none.

        R4 is the rewrite's, and the original's where there is none.
        """
        runs = self._deciding
        found = [
            run
            for run in runs
            if run.name == name and (run.setting == runs[0].setting or run.name == "R4") and run.setting != ORIGINAL
        ]
        return max(found, key=_badness, default=None)

    @property
    def _deciding(self) -> list[Run]:
        return [run for run in self.verdict.runs if not run.row]

    @property
    def fault_of_ranks(self) -> Run | None:
        """R4 of an original that is right in one process and wrong on several; None for any other."""
        alone = self.run("R1") or self.run("R0")
        if self.outcome not in (Outcome.CONFIRMED, Outcome.WRONG) or alone is None or not _agrees(alone):
            return None
        runs = [run for run in self._deciding if run.name == "R4"]
        if self.site.rewritten is not None:
            runs = [run for run in runs if run.setting == ORIGINAL]
        return next((run for run in runs if not _agrees(run)), None)

    @property
    def factor(self) -> float | None:
        """The scale of the original's gradient: with equal counts where that is off already, else with ragged ones."""
        equal, ragged = self.run("R0"), self.run("R1")
        if equal is not None and not abs(equal.scale - 1) < SCALE:
            return equal.scale
        run = ragged or equal
        return run.scale if run is not None else None


@dataclass(frozen=True, slots=True)
class NumericReport:
    """All sites of one run in their order; `files` is what became of the files that they were looked for in."""

    sites: Sequence[SiteReport]
    files: Report
    details: bool = False  # full: every run and assumption too
    width: int = 80  # full: columns
    plain: bool = False  # full: bars of ASCII
    counts: str | None = None  # the file of the target counts, where the impact was asked for
    instead: Impact | None = None  # what a mean of means would do, where no site is at fault

    @property
    def below(self) -> str:
        return self.files.below


def outcome_counts(sites: Sequence[SiteReport]) -> dict[Outcome, int]:
    """How many sites have each outcome, in the order of the outcomes; those that none has are left out."""
    counts = Counter(site.outcome for site in sites)
    return {outcome: counts[outcome] for outcome in Outcome if outcome in counts}


def _badness(run: Run) -> float:
    return math.inf if math.isnan(run.relative_error) else run.relative_error


def _agrees(run: Run) -> bool:
    return run.relative_error < run.allowed


def headline(report: SiteReport) -> str:
    """What the numbers say, in one sentence that begins in lower case."""
    reason = report.verdict.reason
    match report.outcome:
        case Outcome.CONFIRMED if (run := report.fault_of_ranks) is not None:
            return (
                "right in one process, but on several ranks the gradient is not that of the batch "
                f"(relative error {run.relative_error:.2g}), and that of the rewrite is"
            )
        case Outcome.CONFIRMED:
            return f"the gradient depends on how the batch is cut{_error(report)}, and that of the rewrite does not"
        case Outcome.REFUTED:
            return f"the rewrite is wrong: {reason}"
        case Outcome.WRONG:
            wrong = (reason or "").startswith("relative error")  # else it says what is wrong by itself
            return f"the gradient depends on how the batch is cut: {reason}" if wrong else str(reason)
        case Outcome.CORRECT:
            return f"right as it is: {reason or 'the gradient does not depend on how the batch is cut'}"
        case Outcome.MISSING_DIVISION:
            return str(reason)
        case _:
            return f"{report.outcome.value}: {reason}"


def _error(report: SiteReport) -> str:
    run = report.run("R1") or report.run("R0")
    return f" (relative error {run.relative_error:.2g})" if run is not None else ""


def withdrawal(report: SiteReport) -> str | None:
    """Which findings the numbers clear: "GA101 [mean-of-means] of line 12 is withdrawn"."""
    if not report.withdrawn:
        return None
    findings = [diagnostic.finding for diagnostic in report.withdrawn]
    named = ", ".join(f"{each.code} [{each.name}] of line {each.span.start.row}" for each in findings)
    return f"{named} {'is' if len(findings) == 1 else 'are'} withdrawn"


def place(report: SiteReport) -> str:
    """`path:row`, in a notebook `path:cell 3:row`."""
    return f"{shown(report.site.path)}:{cell_prefix(report.site.cell)}{report.row}"


def in_cell(report: SiteReport) -> str:
    """`cell 3, row 4: ` in a notebook, whose file has other rows."""
    return "" if report.site.cell is None else f"cell {report.site.cell}, row {report.row}: "


def diff(site: Site) -> str | None:
    """The rewrite as a unified diff; None where there is none. A notebook's code cells are one text."""
    if site.rewritten is None:
        return None
    before, after = (text.splitlines() for text in (site.original, site.rewritten))
    name = site.path.as_posix()
    return "\n".join([*difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm=""), ""])
