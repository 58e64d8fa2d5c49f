"""Which annotations does GitHub show? Workflow commands, one line each."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import PurePath

from ga_lint.diagnostics import Diagnostic, Severity
from ga_lint.outcome import Report

SHOWN_PER_LEVEL = 10  # of each level, for each step; GitHub drops the rest
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report, below: str = "") -> str:
    """The commands. `below` is the working folder, counted from the repository's root, where paths must begin."""
    lines = [_annotation(diagnostic, below) for diagnostic in report.diagnostics]
    lines += [
        _command("error", {"file": _path(failure.path, below), "title": "ga-lint"}, failure.error)
        for failure in report.failures
    ]
    return "".join(f"{line}\n" for line in lines)


def _annotation(diagnostic: Diagnostic, below: str) -> str:
    finding = diagnostic.finding
    start, end = finding.span.start, finding.span.end
    properties = {"file": _path(diagnostic.path, below), "line": str(start.row), "endLine": str(end.row)}
    if diagnostic.cell is not None:  # GitHub counts the rows of the file, which are JSON
        properties = {"file": _path(diagnostic.path, below), "line": "1", "endLine": "1"}
    elif start.row == end.row:  # GitHub refuses columns of several lines
        properties |= {"col": str(start.column), "endColumn": str(end.column)}
    properties["title"] = f"ga-lint {finding.code} [{finding.name}]"
    where = "" if diagnostic.cell is None else f"cell {diagnostic.cell}, row {start.row}: "
    message = f"{where}{finding.message}\neffect: {finding.effect.message}"
    if finding.fix is not None:
        message += f"\nfix ({finding.fix.tier.value}): {finding.fix.summary}"
    return _command(_LEVELS[finding.severity], properties, message)


def _command(level: str, properties: Mapping[str, str], message: str) -> str:
    written = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{level} {written}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":  # the per cent sign first
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _path(path: PurePath, below: str) -> str:
    return posixpath.normpath(posixpath.join(below, path.as_posix()))
