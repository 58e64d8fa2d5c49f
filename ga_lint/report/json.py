"""What scripts read: a list of objects with ruff's keys, and ours."""

from __future__ import annotations

import json
from pathlib import PurePath

from ga_lint.diagnostics import Diagnostic, Step
from ga_lint.outcome import Report
from ga_lint.resources import page_url
from ga_lint.source import Edit, Position

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def render(report: Report) -> str:
    return json.dumps([finding_object(diagnostic) for diagnostic in report.diagnostics], indent=2) + "\n"


def finding_object(diagnostic: Diagnostic) -> Json:
    """One finding, with ruff's keys first in mind."""
    finding = diagnostic.finding
    return {
        "cell": diagnostic.cell,
        "code": finding.code,
        "confidence": str(finding.confidence),
        "effect": {
            "factor": finding.effect.factor,
            "kind": finding.effect.kind.value,
            "message": finding.effect.message,
            "value": finding.effect.value,
        },
        "end_location": _location(finding.span.end),
        "filename": _path(diagnostic.path),
        "fingerprint": diagnostic.fingerprint,
        "fix": _fix(diagnostic),
        "fix_refusal": finding.fix_refusal,
        "location": _location(finding.span.start),
        "message": finding.message,
        "name": finding.name,
        "noqa_row": diagnostic.noqa_row,
        "related": [_related(step) for step in finding.trace],
        "severity": finding.severity.value,
        "url": page_url(finding.code, finding.name),
        "verified": diagnostic.verified,
    }


def _fix(diagnostic: Diagnostic) -> Json:
    fix = diagnostic.rewrite
    if fix is None:
        return None
    edits: list[Json] = [_edit(edit) for edit in diagnostic.edits]
    return {"applicability": fix.tier.value, "edits": edits, "message": fix.summary}


def _edit(edit: Edit) -> Json:
    return {
        "cell": edit.cell,
        "content": edit.text,
        "end_location": _location(edit.span.end),
        "location": _location(edit.span.start),
    }


def _related(step: Step) -> Json:
    return {
        "cell": step.cell,
        "filename": _path(step.path),
        "location": _location(step.span.start),
        "message": step.message,
    }


def _location(position: Position) -> Json:
    return {"column": position.column, "row": position.row}


def _path(path: PurePath) -> str:
    return path.as_posix()
