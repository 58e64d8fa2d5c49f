"""One line for each finding, as compilers print them."""

from __future__ import annotations

from ga_lint.outcome import Report
from ga_lint.report.text import shown


def render(report: Report) -> str:
    lines = []
    for diagnostic in report.diagnostics:
        finding, start = diagnostic.finding, diagnostic.finding.span.start
        place = f"{shown(diagnostic.path)}:{start.row}:{start.column}"
        lines.append(f"{place}: {finding.code} [{finding.name}] {shown(finding.message)}\n")
    return "".join(lines)
