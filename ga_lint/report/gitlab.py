"""What does a merge request on GitLab show? A Code Quality report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from ga_lint.diagnostics import Diagnostic, Severity
from ga_lint.outcome import Failed, Report
from ga_lint.report.json import Json
from ga_lint.report.text import in_cell, repository_path
from ga_lint.source import Position

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.INFO: "minor"}


def render(report: Report) -> str:
    seen: Counter[str] = Counter()
    issues: list[Json] = [_issue(diagnostic, report.below, seen) for diagnostic in report.diagnostics]
    issues += [_failure(failure, report.below, seen) for failure in report.failures]
    return json.dumps(issues, indent=2) + "\n"


def _issue(diagnostic: Diagnostic, below: str, seen: Counter[str]) -> Json:
    finding, span = diagnostic.finding, diagnostic.finding.span
    path = repository_path(diagnostic.path, below)
    where: dict[str, Json] = {"positions": {"begin": _position(span.start), "end": _position(span.end)}}
    if diagnostic.cell is not None:
        where = {"lines": {"begin": 1}}
    return {
        "check_name": finding.code,
        "description": f"{finding.code}: {in_cell(diagnostic)}{finding.message}",
        "fingerprint": _unique(diagnostic.fingerprint, seen),
        "location": {"path": path, **where},
        "severity": _SEVERITIES[finding.severity],
    }


def _failure(failure: Failed, below: str, seen: Counter[str]) -> Json:
    """A file that nobody looked at must not look clean."""
    path = repository_path(failure.path, below)
    fingerprint = hashlib.sha256(f"failed\0{path}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return {
        "check_name": "ga-lint",
        "description": f"could not be analysed: {failure.error}",
        "fingerprint": _unique(fingerprint, seen),
        "location": {"path": path, "lines": {"begin": 1}},
        "severity": "blocker",
    }


def _unique(fingerprint: str, seen: Counter[str]) -> str:
    """GitLab shows the first of several equal ones only; two projects in one run can have files of the same name."""
    seen[fingerprint] += 1
    if seen[fingerprint] == 1:
        return fingerprint
    return hashlib.sha256(f"{fingerprint}:{seen[fingerprint]}".encode()).hexdigest()[:32]


def _position(position: Position) -> Json:
    return {"column": position.column, "line": position.row}
