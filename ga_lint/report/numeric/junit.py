"""What do test reports show of the sites that were run? JUnit's XML: a suite for each file, a case for each site."""

from __future__ import annotations

from itertools import groupby
from xml.sax.saxutils import escape

from ga_lint.outcome import Failed
from ga_lint.report.junit import PACKAGE, counts, quoted
from ga_lint.report.numeric.model import NumericReport, SiteReport, headline, in_cell, withdrawal
from ga_lint.report.text import repository_path, shown
from ga_lint.report.verdicts import described
from ga_lint.verify.model import Outcome

_LEFT_OPEN = (Outcome.INCONCLUSIVE, Outcome.NOT_VERIFIABLE, Outcome.NOT_RUN)


def render(report: NumericReport) -> str:
    by_path = groupby(report.sites, key=lambda site: repository_path(site.site.path, report.below))
    suites = [(path, [_case(site, path) for site in sites]) for path, sites in by_path]
    suites += [_failure(failed, report.below) for failed in report.files.failures]
    if not suites:
        suites = [("ga-lint", ['    <testcase name="No accumulation site found" classname="ga-lint"/>'])]
    everything = [case for _, cases in suites for case in cases]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="ga-lint verify" {counts(everything)}>']
    for path, cases in suites:
        lines += [f'  <testsuite name={quoted(path)} package="{PACKAGE}" {counts(cases)}>', *cases, "  </testsuite>"]
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _case(site: SiteReport, path: str) -> str:
    name = " ".join(f"{in_cell(site)}{site.site.kind.value} {site.site.scope} line {site.row}".split())
    head = f'    <testcase name={quoted(name)} classname={quoted(path)} line="{site.row}">'
    message = headline(site)
    said = [withdrawn] if (withdrawn := withdrawal(site)) else []
    said += [described(run) for run in site.verdict.runs]
    said += [f"assumes: {assumption}" for assumption in site.verdict.assumptions]
    if site.is_fault:
        result = f"<failure type={quoted(site.outcome.value)} message={quoted(message)}/>"
    elif site.outcome in _LEFT_OPEN:
        result = f"<skipped message={quoted(message)}/>"
    else:
        result, said = "", [message, *said]
    output = escape("\n".join(map(shown, said)))
    return f"{head}{result}<system-out>{output}</system-out></testcase>"


def _failure(failed: Failed, below: str) -> tuple[str, list[str]]:
    path = repository_path(failed.path, below)
    case = f'    <testcase name="{PACKAGE}" classname={quoted(path)}><error message={quoted(failed.error)}/></testcase>'
    return path, [case]
