"""How is everything silenced that a file reports today? By a comment on each statement, which changes no code."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from ga_lint.diagnostics import Diagnostic
from ga_lint.engine.check_file import check_bytes, check_source
from ga_lint.engine.known import Known, known_among, without
from ga_lint.engine.own_rules import SYNTAX_ERROR, UNUSED_SUPPRESSION
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import with_cell_lines
from ga_lint.engine.suppress import Verb, read_suppressions
from ga_lint.engine.write import write_back
from ga_lint.errors import FixNotApplicable, SourceError
from ga_lint.notebook import read_text
from ga_lint.outcome import Failed, FileOutcome, Found
from ga_lint.source import SourceFile, unremarked

NEVER = {SYNTAX_ERROR.code, UNUSED_SUPPRESSION.code}  # a comment says nothing about these


class IgnoreAdder:
    """Visits files and silences what is found in them."""

    def __init__(self, reason: str, known: Sequence[Known] = ()) -> None:
        self._reason = reason
        self._known = known
        self.added = 0
        self.files = 0

    def visit(self, path: Path, data: bytes, scope: Scope, whole: bool) -> FileOutcome:
        """Silence one file's findings; what is left."""
        outcome = check_bytes(path, data, scope, whole=whole)
        leave = known_among(self._known, outcome, scope)
        outcome = without(outcome, leave)
        if not isinstance(outcome, Found):
            return outcome
        silenced = [each for each in outcome.diagnostics if each.finding.code not in NEVER]
        if not silenced:
            return outcome
        source = read_text(path, data)
        try:
            after = source.rewritten(with_ignores(source, silenced, self._reason))
            left = without(check_source(after, scope), leave)
            _prove(source, after, silenced, left)
            write_back(source, after)
        except (SourceError, FixNotApplicable) as error:
            return Failed(path, str(error), diagnostics=outcome.diagnostics)
        self.added += len(silenced)
        self.files += 1
        return left


def with_ignores(source: SourceFile, silenced: Sequence[Diagnostic], reason: str) -> str:
    """The text with a directive at the end of each statement; one that is there takes the code in."""
    codes: dict[int, set[str]] = {}
    for diagnostic in silenced:
        codes.setdefault(diagnostic.noqa_row + diagnostic.rows_above, set()).add(diagnostic.finding.code)
    there = {d.comment.row: d for d in read_suppressions(source).directives if d.verb is Verb.IGNORE and d.selectors}
    lines = source.ended_lines()
    for row, new in codes.items():
        line = lines[row - 1]
        if row in there:
            directive = there[row]
            start, end = directive.span.start.column - 1, directive.span.end.column - 1
            text = directive.with_selectors([*directive.selectors, *sorted(new)])
            lines[row - 1] = line[:start] + text + line[end:]
        else:
            body = line.rstrip("\r\n")
            text = f"# ga-lint: ignore[{', '.join(sorted(new))}] {reason}".rstrip()
            lines[row - 1] = f"{body.rstrip()}  {text}{line[len(body) :]}"
    return "".join(lines)


def _prove(before: SourceFile, after: SourceFile, silenced: Sequence[Diagnostic], left: FileOutcome) -> None:
    """The comments are comments, and they silence what they should."""
    rows = {diagnostic.stated.span.start.row for diagnostic in silenced}
    loud = [d.stated for d in (left.diagnostics if isinstance(left, Found) else ()) if d.finding.code not in NEVER]
    still = [finding.span.start.row for finding in loud if finding.span.start.row in rows]
    with unremarked():
        dumps = {ast.dump(ast.parse(each.text)) for each in (before, after)}
    if still or len(dumps) > 1:
        reason = f"line {min(still or rows)} takes no comment that silences it; left as it was"
        raise SourceError(with_cell_lines(before, reason))
