"""What do test reports show of the sites that were run? JUnit's XML: a suite for each file, a case for each site."""

from __future__ import annotations

from itertools import groupby
from xml.sax.saxutils import escape

from ga_lint.report.junit import EMPTY, document, quoted, unread
from ga_lint.report.numeric.model import NumericReport, SiteReport, headline, in_cell, withdrawal
from ga_lint.report.text import repository_path, shown
from ga_lint.report.verdicts import described
from ga_lint.verify.model import Outcome

_LEFT_OPEN = (Outcome.INCONCLUSIVE, Outcome.NOT_VERIFIABLE, Outcome.NOT_RUN)


def render(report: NumericReport) -> str:
    by_path = groupby(report.sites, key=lambda site: repository_path(site.site.path, report.below))
    suites = [(path, [_case(site, path) for site in sites]) for path, sites in by_path]
    suites += [
        (repository_path(each.path, report.below), [unread(each, report.below)]) for each in report.files.failures
    ]
    return document("ga-lint verify", suites or [("ga-lint", [EMPTY.format("No accumulation site found")])])


def _case(site: SiteReport, path: str) -> str:
    name = " ".join(f"{in_cell(site)}{site.site.kind.value} {site.site.scope} line {site.row}".split())
    head = f'    <testcase name={quoted(name)} classname={quoted(path)} line="{site.row}">'
    message = headline(site)
    details = [withdrawn] if (withdrawn := withdrawal(site)) else []
    details += [described(run) for run in site.verdict.runs]
    details += [f"assumes: {assumption}" for assumption in site.verdict.assumptions]
    if site.is_fault:
        result = f"<failure type={quoted(site.outcome.value)} message={quoted(message)}/>"
    elif site.outcome in _LEFT_OPEN:
        result = f"<skipped message={quoted(message)}/>"
    else:
        result, details = "", [message, *details]
    output = escape("\n".join(map(shown, details)))
    return f"{head}{result}<system-out>{output}</system-out></testcase>"
