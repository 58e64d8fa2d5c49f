"""What do test reports show? JUnit's XML: a suite for each file that is not clean, as ruff writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never
from xml.sax.saxutils import escape, quoteattr

from ga_lint.diagnostics import Diagnostic
from ga_lint.outcome import Clean, Failed, FileOutcome, Found, Report, Skipped
from ga_lint.report.text import in_cell, repository_path, shown

PACKAGE = "org.ga-lint"
EMPTY = '    <testcase name="{}" classname="ga-lint"/>'  # a suite without a case is read as a broken file


def render(report: Report) -> str:
    suites = [(repository_path(o.path, report.below), cases) for o in report.outcomes if (cases := _cases(o, report))]
    return document("ga-lint", suites or [("ga-lint", [EMPTY.format("No errors found")])])


def document(name: str, suites: Sequence[tuple[str, list[str]]]) -> str:
    """Suites by their paths, each with its cases."""
    everything = [case for _, cases in suites for case in cases]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="{name}" {_counts(everything)}>']
    for path, cases in suites:
        lines += [f'  <testsuite name={quoted(path)} package="{PACKAGE}" {_counts(cases)}>', *cases, "  </testsuite>"]
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def unread(failed: Failed, below: str) -> str:
    """The case of a file that was not looked at."""
    name = f'name="{PACKAGE}" classname={quoted(repository_path(failed.path, below))}'
    return f"    <testcase {name}><error message={quoted(failed.error)}/></testcase>"


def _cases(outcome: FileOutcome, report: Report) -> list[str]:
    name = f'name="{PACKAGE}" classname={quoted(repository_path(outcome.path, report.below))}'
    match outcome:
        case Clean():
            return []
        case Skipped(reason=reason):
            return [f"    <testcase {name}><skipped message={quoted(reason.value)}/></testcase>"]
        case Found(diagnostics=diagnostics):
            return [_case(diagnostic, report.below) for diagnostic in diagnostics]
        case Failed(diagnostics=diagnostics):
            return [*(_case(diagnostic, report.below) for diagnostic in diagnostics), unread(outcome, report.below)]
        case _:
            assert_never(outcome)


def _case(diagnostic: Diagnostic, below: str) -> str:
    finding, start = diagnostic.finding, diagnostic.finding.span.start
    name = f'name="{PACKAGE}.{finding.code}" classname={quoted(repository_path(diagnostic.path, below))}'
    place = f'line="{start.row}" column="{start.column}"'
    message = f"{in_cell(diagnostic)}{finding.message}"
    text = f"line {start.row}, col {start.column}, {finding.message}; {finding.effect.message}"
    return f"    <testcase {name} {place}><failure message={quoted(message)}>{escape(shown(text))}</failure></testcase>"


def _counts(cases: list[str]) -> str:
    """The attributes of a suite that holds these cases."""
    found = {"tests": len(cases)}
    for name, tag in (("failures", "<failure "), ("errors", "<error "), ("skipped", "<skipped ")):
        found[name] = sum(tag in case for case in cases)  # user text has no unescaped `<`
    return " ".join(f'{name}="{count}"' for name, count in found.items())


def quoted(text: str) -> str:
    """As an attribute; control characters, which XML cannot hold, are escaped before."""
    return quoteattr(shown(text))
