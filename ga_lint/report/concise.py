"""One line for each finding, as compilers print them."""

from __future__ import annotations

from ga_lint.outcome import Report
from ga_lint.report.text import place, shown


def render(report: Report) -> str:
    lines = []
    for diagnostic in report.diagnostics:
        finding = diagnostic.finding
        lines.append(f"{place(diagnostic)}: {finding.code} [{finding.name}] {shown(finding.message)}\n")
    return "".join(lines)
