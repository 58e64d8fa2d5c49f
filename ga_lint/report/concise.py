"""One line for each finding, as compilers print them."""

from __future__ import annotations

from ga_lint.outcome import Report
from ga_lint.report.text import shown


def render(report: Report) -> str:
    return "".join(f"{shown(diagnostic)}\n" for diagnostic in report.diagnostics)
