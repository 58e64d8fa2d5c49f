"""The findings of each file under its name."""

from __future__ import annotations

from itertools import groupby

from ga_lint.outcome import Report
from ga_lint.report.text import shown
from ga_lint.source import cell_prefix


def render(report: Report) -> str:
    groups = []
    for path, group in groupby(report.diagnostics, key=lambda diagnostic: diagnostic.path):
        rows = []
        for diagnostic in group:
            finding, start = diagnostic.finding, diagnostic.finding.span.start
            cell = cell_prefix(diagnostic.cell)
            rows.append((f"{cell}{start.row}:{start.column}", f"{finding.code} [{finding.name}] {finding.message}"))
        width = max(len(place) for place, _ in rows)
        lines = [f"  {place:<{width}} {shown(text)}\n" for place, text in rows]
        groups.append(f"{shown(path)}:\n{''.join(lines)}")
    return "\n".join(groups)
