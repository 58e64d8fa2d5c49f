"""Which annotations does GitHub show? Workflow commands, one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ga_lint.diagnostics import Diagnostic, Severity
from ga_lint.outcome import Failed, Report
from ga_lint.report.text import in_cell, repository_path, shown_lines

SHOWN_PER_LEVEL = 10  # of each level, for each step; GitHub drops the rest
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report) -> str:
    """The commands, the worst level first: failures, then the surest findings."""
    lines = []
    for severity, level in _LEVELS.items():
        failures = report.failures if severity is Severity.ERROR else []
        found = [diagnostic for diagnostic in report.diagnostics if diagnostic.finding.severity is severity]
        surest = sorted(found, key=lambda diagnostic: -diagnostic.finding.confidence)
        commands = [failure(each, report.below) for each in failures]
        commands += [_annotation(diagnostic, level, report.below) for diagnostic in surest]
        lines += fitting(commands, level, "ga-lint", "in the log and in the job summary")
    return "".join(f"{line}\n" for line in lines)


def fitting(commands: Sequence[str], level: str, title: str, elsewhere: str) -> list[str]:
    """The commands of a level that GitHub has room for, and a last one that says where the others are."""
    if len(commands) <= SHOWN_PER_LEVEL:
        return list(commands)
    kept = commands[: SHOWN_PER_LEVEL - 1]
    more = f"{len(commands) - len(kept):,} more are {elsewhere}; GitHub shows {SHOWN_PER_LEVEL}"
    return [*kept, command(level, {"title": title}, more)]


def _annotation(diagnostic: Diagnostic, level: str, below: str) -> str:
    finding = diagnostic.finding
    start, end = finding.span.start, finding.span.end
    path = repository_path(diagnostic.path, below)
    properties = {"file": path, "line": str(start.row), "endLine": str(end.row)}
    if diagnostic.cell is not None:  # GitHub counts the rows of the file, which are JSON
        properties = {"file": path, "line": "1", "endLine": "1"}
    elif start.row == end.row:  # GitHub refuses columns of several lines
        properties |= {"col": str(start.column), "endColumn": str(end.column)}
    properties["title"] = f"ga-lint {finding.code} [{finding.name}]"
    message = f"{in_cell(diagnostic)}{finding.message}\neffect: {finding.effect.message}"
    if (fix := diagnostic.rewrite) is not None:
        message += f"\nfix ({fix.tier.value}): {fix.summary}"
    return command(level, properties, message)


def failure(failed: Failed, below: str) -> str:
    """The annotation of a file that was not looked at."""
    return command("error", {"file": repository_path(failed.path, below), "title": "ga-lint"}, failed.error)


def command(level: str, properties: Mapping[str, str], message: str) -> str:
    """A workflow command that annotates."""
    written = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{level} {written}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    text = shown_lines(text)
    for character in f"%\n{more}":  # the per cent sign first
        text = text.replace(character, f"%{ord(character):02X}")
    return text
