"""Lines that tools made for pylint read: `path:row: [code] message`."""

from __future__ import annotations

from ga_lint.outcome import Report
from ga_lint.report.text import in_cell, repository_path, shown


def render(report: Report) -> str:
    lines = []
    for diagnostic in report.diagnostics:
        finding = diagnostic.finding
        row = 1 if diagnostic.cell is not None else finding.span.start.row
        path = shown(repository_path(diagnostic.path, report.below))
        lines.append(f"{path}:{row}: [{finding.code}] {in_cell(diagnostic)}{shown(finding.message)}\n")
    return "".join(lines)
