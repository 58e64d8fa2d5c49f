"""What does reviewdog comment on a pull request? Places in UTF-8 bytes, and suggestions of whole lines."""

from __future__ import annotations

import json

from ga_lint.diagnostics import Diagnostic, Severity
from ga_lint.outcome import Failed, Report
from ga_lint.report.json import Json
from ga_lint.report.text import in_cell, repository_path
from ga_lint.resources import HOME_URL, page_url
from ga_lint.source import Edit, Position

_SEVERITIES = {Severity.ERROR: "ERROR", Severity.WARNING: "WARNING", Severity.INFO: "INFO"}


def render(report: Report) -> str:
    diagnostics: list[Json] = [_diagnostic(diagnostic, report.below) for diagnostic in report.diagnostics]
    diagnostics += [_failure(failure, report.below) for failure in report.failures]
    document: Json = {
        "source": {"name": "ga-lint", "url": HOME_URL},
        "severity": "WARNING",
        "diagnostics": diagnostics,
    }
    return json.dumps(document, indent=2) + "\n"


def _diagnostic(diagnostic: Diagnostic, below: str) -> Json:
    finding, span = diagnostic.finding, diagnostic.finding.span
    location: dict[str, Json] = {"path": repository_path(diagnostic.path, below)}
    if diagnostic.cell is None:
        location["range"] = {"start": _place(diagnostic, span.start), "end": _place(diagnostic, span.end)}
    written: dict[str, Json] = {
        "message": f"{in_cell(diagnostic)}{finding.message}; {finding.effect.message}",
        "location": location,
        "severity": _SEVERITIES[finding.severity],
        "code": {"value": finding.code, "url": page_url(finding.code, finding.name)},
    }
    if (suggestion := _suggestion(diagnostic)) is not None:
        written["suggestions"] = [suggestion]
    return written


def _place(diagnostic: Diagnostic, position: Position) -> Json:
    line = diagnostic.source_line if position.row == diagnostic.finding.span.start.row else ""
    if diagnostic.text is not None:
        lines = diagnostic.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        line = lines[position.row - 1] if position.row <= len(lines) else ""
    before = line[: position.column - 1].ljust(position.column - 1)
    return {"line": position.row, "column": len(before.encode("utf-8", "surrogateescape")) + 1}


def _suggestion(diagnostic: Diagnostic) -> Json:
    """Whole lines, without columns; None unless the rewrite is one run of lines: a comment cannot hold two.

    The rows of a notebook's file are JSON, which is no text that anybody wants to accept.
    """
    if len(diagnostic.edits) != 1 or diagnostic.cell is not None:
        return None
    edit: Edit = diagnostic.edits[0]
    start, end = edit.span.start, edit.span.end
    if start.column != 1 or end.column != 1 or start.row >= end.row:
        return None
    range_: Json = {"start": {"line": start.row}, "end": {"line": end.row - 1}}
    return {"range": range_, "text": edit.text.removesuffix("\n").removesuffix("\r")}


def _failure(failure: Failed, below: str) -> Json:
    return {
        "message": f"could not be analysed: {failure.error}",
        "location": {"path": repository_path(failure.path, below)},
        "severity": "ERROR",
        "code": {"value": "ga-lint", "url": HOME_URL},
    }
