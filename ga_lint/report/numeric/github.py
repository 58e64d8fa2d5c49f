"""Which annotations does GitHub show for the sites that were run? Workflow commands, one line each."""

from __future__ import annotations

from ga_lint.report.github import command, failure, fitting
from ga_lint.report.numeric.model import GRAVE, NumericReport, SiteReport, headline, in_cell, withdrawal
from ga_lint.report.text import repository_path
from ga_lint.verify.model import Outcome

_LEVELS = ("error", "warning", "notice")


def render(report: NumericReport) -> str:
    """The commands, the worst level first. What could not be run is in the report, and no annotation."""
    lines: dict[str, list[str]] = {level: [] for level in _LEVELS}
    lines["error"] += [failure(each, report.below) for each in report.files.failures]
    for site in report.sites:
        level = _level(site)
        if level is not None:
            lines[level].append(_annotation(site, level, report.below))
    fit = (fitting(lines[level], level, "ga-lint verify", "in the log") for level in _LEVELS)
    return "".join(f"{line}\n" for of_level in fit for line in of_level)


def _level(site: SiteReport) -> str | None:
    if site.outcome in GRAVE or site.outcome is Outcome.NOT_RUN:  # exit code 2: it must not look like a success
        return "error"
    if site.is_fault:
        return "warning"
    return "notice" if site.withdrawn or site.outcome is Outcome.INCONCLUSIVE else None


def _annotation(site: SiteReport, level: str, below: str) -> str:
    row = str(site.row if site.site.cell is None else 1)
    properties = {"file": repository_path(site.site.path, below), "line": row, "endLine": row}
    properties["title"] = f"ga-lint verify: {site.outcome.value}"
    message = f"{in_cell(site)}{headline(site)}"
    if withdrawn := withdrawal(site):
        message += f"\n{withdrawn}"
    if site.outcome is Outcome.CONFIRMED:
        message += "\n`ga-lint fix` writes the rewrite"
    return command(level, properties, message)
