"""Which findings does the user get to see, and where exactly do they stand?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.config import display_path
from ga_lint.diagnostics import Diagnostic, Finding, Step
from ga_lint.engine.own_rules import UNUSED_SUPPRESSION, known_rules
from ga_lint.engine.scope import Scope
from ga_lint.engine.select import covers
from ga_lint.engine.suppress import MARKERS, read_suppressions, suppress
from ga_lint.notebook import NotebookSource
from ga_lint.outcome import Clean, FileOutcome, Found, Skipped, SkipReason
from ga_lint.source import SourceFile

if TYPE_CHECKING:
    from ga_lint.engine.fingerprint import Fingerprints

_NAMED_LINE = re.compile(r"\bline (?P<row>\d+)")
_CONTEXT_ROWS = 8  # how far from the finding a line of its trace may lie to be shown with it


def settle(
    source: SourceFile, tree: ast.Module | None, findings: Sequence[Finding], scope: Scope, *, ran: frozenset[str]
) -> FileOutcome:
    """The outcome of a file of which the rules in `ran` say this: suppressions, exceptions and confidence applied."""
    findings = list(dict.fromkeys(findings))  # a helper that is called twice is seen twice
    kept = findings
    marked = any(marker in source.data for marker in MARKERS) or _has_noqa(source, tree, findings)
    if marked and not scope.config.ignore_suppressions:
        suppressions = read_suppressions(source)
        if suppressions.whole_file:
            return Skipped(source.path, SkipReason.GENERATED)
        kept, unused = suppress(suppressions, tree, findings, ran)
        if UNUSED_SUPPRESSION.code in ran:
            kept += unused
    if kept and scope.config.per_file_ignores:
        off = _ignored_codes(source.path, scope)
        kept = [finding for finding in kept if finding.code not in off]
    kept = [finding for finding in kept if finding.confidence >= scope.config.min_confidence]
    if not kept:
        return Clean(source.path)
    kept.sort(key=lambda finding: (finding.span, finding.code))
    return Found(source.path, tuple(_diagnostics(source, tree, kept, scope)))


def _has_noqa(source: SourceFile, tree: ast.Module | None, findings: Sequence[Finding]) -> bool:
    """May such a comment stand with a finding? The comments of the other lines need not be read."""
    from ga_lint.syntax.statements import statement_at

    if not findings or b"noqa" not in source.data.lower():
        return False
    rows = {row for finding in findings for row in statement_at(source, tree, finding.span.start.row).rows}
    return any("noqa" in source.lines[row - 1].lower() for row in rows if row <= len(source.lines))


def _ignored_codes(path: Path, scope: Scope) -> frozenset[str]:
    """What `per-file-ignores` switches off for this path."""
    from ga_lint.engine.patterns import matches

    selectors = [
        selector
        for pattern, selectors in scope.config.per_file_ignores
        if matches((pattern,), path, scope.config.root)
        for selector in selectors
    ]
    return frozenset(rule.code for rule in known_rules() if any(covers(selector, rule) for selector in selectors))


def _diagnostics(
    source: SourceFile, tree: ast.Module | None, findings: Sequence[Finding], scope: Scope
) -> Iterator[Diagnostic]:
    from ga_lint.engine.fingerprint import Fingerprints
    from ga_lint.syntax.statements import statement_at

    fingerprints = Fingerprints(source.path, scope.config.root)
    for finding in (_as_shown(source, one) for one in findings):
        if isinstance(source, NotebookSource):
            yield _in_notebook(source, tree, finding, fingerprints)
            continue
        statement = statement_at(source, tree, finding.span.start.row)
        yield Diagnostic(
            path=source.path,
            finding=finding,
            fingerprint=fingerprints.of(finding.code, finding.scope, statement.text),
            noqa_row=statement.last_row,
            source_line=_line(source, finding.span.start.row),
            context=_context(source, finding),
            text=source.text,
        )


def _as_shown(source: SourceFile, finding: Finding) -> Finding:
    """Other files that the trace speaks of were found by their real paths."""
    if all(step.path == source.path for step in finding.trace):
        return finding
    trace = tuple(
        step if step.path == source.path else replace(step, path=Path(display_path(step.path)))
        for step in finding.trace
    )
    return replace(finding, trace=trace)


def _in_notebook(
    source: NotebookSource, tree: ast.Module | None, finding: Finding, fingerprints: Fingerprints
) -> Diagnostic:
    """The finding with every place in its own cell."""
    from ga_lint.syntax.statements import statement_at

    row = finding.span.start.row
    statement = statement_at(source, tree, row)
    cell, span = source.in_cell(finding.span)
    part = source.part_of(row)
    before = part.rows_above
    trace = tuple(_step_in_cell(source, step) for step in finding.trace)
    refusal = finding.fix_refusal and with_cell_lines(source, finding.fix_refusal)
    here = [(near, line) for near, line in _context(source, finding) if near in part.rows]
    return Diagnostic(
        path=source.path,
        finding=replace(finding, span=span, trace=trace, fix_refusal=refusal),
        fingerprint=fingerprints.of(finding.code, finding.scope, statement.text),
        noqa_row=statement.last_row - before,
        source_line=_line(source, row),
        context=tuple((near - before, line) for near, line in here),
        cell=cell,
        in_module=finding,
    )


def with_cell_lines(source: SourceFile, reason: str) -> str:
    """A reason that names lines of the text, with the lines as the user counts them."""
    if not isinstance(source, NotebookSource):
        return reason

    def in_cell(found: re.Match[str]) -> str:
        part = source.part_of(int(found["row"]))
        return f"line {int(found['row']) - part.rows_above} of cell {part.cell}"

    return _NAMED_LINE.sub(in_cell, reason)


def _step_in_cell(source: NotebookSource, step: Step) -> Step:
    if step.path != source.path:
        return step
    cell, span = source.in_cell(step.span)
    return replace(step, span=span, cell=cell)


def _context(source: SourceFile, finding: Finding) -> tuple[tuple[int, str], ...]:
    """The lines near the finding that its trace speaks of."""
    row = finding.span.start.row
    rows = {step.span.start.row for step in finding.trace if step.path == source.path}
    near = sorted(r for r in rows if r != row and abs(r - row) <= _CONTEXT_ROWS)
    return tuple((r, _line(source, r)) for r in near)


def _line(source: SourceFile, row: int) -> str:
    return source.lines[row - 1] if row <= len(source.lines) else ""
