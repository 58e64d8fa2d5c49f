"""What scripts read while it is written: the objects of `json`, one a line."""

from __future__ import annotations

import json

from ga_lint.outcome import Report
from ga_lint.report.json import finding_object


def render(report: Report) -> str:
    return "".join(f"{json.dumps(finding_object(diagnostic))}\n" for diagnostic in report.diagnostics)
