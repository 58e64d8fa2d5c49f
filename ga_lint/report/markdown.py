"""What stands in a job summary or a comment? One table, the worst first."""

from __future__ import annotations

import re

from ga_lint.diagnostics import Diagnostic
from ga_lint.outcome import Report, plural
from ga_lint.report.text import in_cell, repository_path, shown
from ga_lint.resources import page_url

MAX_ROWS = 500  # GitHub takes a megabyte for a step; a row is a few hundred bytes
_MARKUP = re.compile(r"[\\<\[*_&]")


def render(report: Report) -> str:
    found = sorted(report.diagnostics, key=lambda diagnostic: diagnostic.finding.severity.rank)
    lines = [f"## ga-lint: {plural(len(found), 'finding')}", "", f"{report.summary()}."]
    if found:
        lines += ["", "| place | rule | severity | what is wrong | effect |", "|---|---|---|---|---|"]
        lines += [_row(diagnostic, report.below) for diagnostic in found[:MAX_ROWS]]
    if len(found) > MAX_ROWS:
        lines += ["", f"{len(found) - MAX_ROWS:,} more are in the other reports."]
    if report.failures:
        lines += ["", "Not analysed:", ""]
        lines += [f"- {_code(repository_path(f.path, report.below))}: {_text(f.error)}" for f in report.failures]
    return "\n".join(lines) + "\n"


def _row(diagnostic: Diagnostic, below: str) -> str:
    finding, start = diagnostic.finding, diagnostic.finding.span.start
    row = "" if diagnostic.cell is not None else f":{start.row}"
    cells = (
        _code(f"{repository_path(diagnostic.path, below)}{row}"),
        f"[{finding.code} {finding.name}]({page_url(finding.code, finding.name)})",
        finding.severity.value,
        _text(in_cell(diagnostic) + finding.message),
        _text(finding.effect.message),
    )
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Words that stay words outside our backticks: no tag and no link begins in them, and no cell ends anywhere."""
    parts = shown(text.replace("\n", " ")).split("`")
    if len(parts) % 2 == 0:
        parts = ["`".join(parts).replace("`", "&#96;")]
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|")


def _code(text: str) -> str:
    """In HTML's tag, where a backtick or a bar in a path does no harm."""
    escaped = shown(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")
    return f"<code>{escaped}</code>"
