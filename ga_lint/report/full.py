"""What a person reads: the line, what is wrong with it, how we know, what it does and what would cure it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ga_lint.diagnostics import Diagnostic, FixTier, Severity, Step
from ga_lint.outcome import Report, plural
from ga_lint.report.text import shown, shown_line, width
from ga_lint.source import cell_prefix


def render(report: Report) -> str:
    blocks = ["\n".join(_block(diagnostic)) for diagnostic in report.diagnostics]
    if blocks:
        return "\n\n".join([*blocks, _total(report)]) + "\n"
    if report.failures or not report.checked:
        return ""
    return f"No {'new ' if report.partial else ''}wrong loss normalisation found.\n"


def _block(diagnostic: Diagnostic) -> Iterator[str]:
    finding = diagnostic.finding
    kind = f"{finding.code} [{finding.name}] {finding.severity.value} ({finding.confidence})"
    yield f"{shown(diagnostic.place)}: {kind}"
    yield f"  {shown(finding.message)}"
    yield from _source(diagnostic)
    yield from _trace(diagnostic)
    yield f"  effect: {shown(finding.effect.message)}"
    yield from _fix(diagnostic)


def _source(diagnostic: Diagnostic) -> Iterator[str]:
    span = diagnostic.finding.span
    rows = sorted([*diagnostic.context, (span.start.row, diagnostic.source_line)])
    gutter = len(str(rows[-1][0]))
    for row, line in rows:
        yield f"   | {row:>{gutter}} | {shown_line(line)}".rstrip()
        if row == span.start.row:
            before = width(shown_line(line[: span.start.column - 1]))
            end = span.end.column - 1 if span.end.row == row else len(line.rstrip())
            marked = width(shown_line(line[span.start.column - 1 : end]))
            yield f"   | {'':>{gutter}} | {' ' * before}{'^' * max(marked, 1)} {shown(diagnostic.finding.label)}"


def _trace(diagnostic: Diagnostic) -> Iterator[str]:
    """One step on each line, the places in a column."""
    steps = [(_place(step, diagnostic), shown(step.message)) for step in diagnostic.finding.trace]
    column = max((width(where) for where, _ in steps), default=0)
    for number, (where, message) in enumerate(steps):
        label = "  trace:" if number == 0 else "        "
        yield f"{label} {where}{' ' * (column - width(where))}  {message}"


def _place(step: Step, diagnostic: Diagnostic) -> str:
    path = step.path.name if step.path == diagnostic.path else step.path  # the header names this file's folder
    return f"{shown(path)}:{cell_prefix(step.cell)}{step.span.start.row}"


def _fix(diagnostic: Diagnostic) -> Iterator[str]:
    fix, refusal = diagnostic.rewrite, diagnostic.finding.fix_refusal
    if fix is not None:
        command = {
            FixTier.SAFE: " - `ga-lint fix`",
            FixTier.UNSAFE: " - `ga-lint fix --unsafe-fixes`",
            FixTier.DISPLAY: "",
        }[fix.tier]
        yield f"  fix ({fix.tier.value}): {shown(fix.summary)}{command}"
    if refusal is not None:
        yield f"  {'no rewrite' if fix is None else 'not rewritten'}: {shown(refusal)}"


def _total(report: Report) -> str:
    severities = Counter(diagnostic.finding.severity for diagnostic in report.diagnostics)
    counts = ", ".join(plural(severities[s], s.value) for s in Severity if s in severities)
    tiers = Counter(fix.tier for d in report.diagnostics if (fix := d.rewrite) is not None)
    line = f"Found {plural(len(report.diagnostics), 'finding')} ({counts})."
    can = "can rewrite" if all(d.edits for d in report.diagnostics if d.rewrite) else "can try to rewrite"
    if safe := tiers[FixTier.SAFE]:
        line += f" `ga-lint fix` {can} {safe:,}."
    if unsafe := tiers[FixTier.UNSAFE]:
        line += f" `ga-lint fix --unsafe-fixes` {can} {unsafe:,}{' more' if safe else ''}."
    return line
