"""Which issues does Azure Pipelines list? Logging commands, one line each."""

from __future__ import annotations

from collections.abc import Mapping

from ga_lint.diagnostics import Diagnostic, Severity
from ga_lint.outcome import Report
from ga_lint.report.text import in_cell, repository_path, shown_lines

_TEXT = {"%": "%AZP25", "\n": "%0A"}  # the per cent sign first
_VALUE = {**_TEXT, "]": "%5D", ";": "%3B"}


def render(report: Report) -> str:
    lines = [_issue(diagnostic, report.below) for diagnostic in report.diagnostics]
    for failure in report.failures:
        properties = {"type": "error", "sourcepath": repository_path(failure.path, report.below)}
        lines.append(_command(properties, failure.error))
    return "".join(f"{line}\n" for line in lines)


def _issue(diagnostic: Diagnostic, below: str) -> str:
    finding, start = diagnostic.finding, diagnostic.finding.span.start
    properties = {
        "type": "error" if finding.severity is Severity.ERROR else "warning",  # it knows no third
        "sourcepath": repository_path(diagnostic.path, below),
        "linenumber": str(start.row if diagnostic.cell is None else 1),
        "columnnumber": str(start.column if diagnostic.cell is None else 1),
        "code": finding.code,
    }
    return _command(properties, f"{in_cell(diagnostic)}{finding.message}; {finding.effect.message}")


def _command(properties: Mapping[str, str], message: str) -> str:
    written = "".join(f"{key}={_escaped(value, _VALUE)};" for key, value in properties.items())
    return f"##vso[task.logissue {written}]{_escaped(message, _TEXT)}"


def _escaped(text: str, table: Mapping[str, str]) -> str:
    text = shown_lines(text)
    for character, escape in table.items():
        text = text.replace(character, escape)
    return text
