"""How is a comment taken away that suppresses nothing? The one rewrite that is of text, not of code."""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest
from ga_lint.fixers.edits import Rewrite
from ga_lint.source import SourceFile


def unsuppress(source: SourceFile, request: FixRequest) -> Rewrite:
    """The text without the directive; a line that held nothing else goes too."""
    span, left = request.target_by_role["directive"], request.option_by_name["text"]
    lines = source.ended_lines()
    row = span.start.row - 1
    line = lines[row]
    before, after = line[: span.start.column - 1], line[span.end.column - 1 :].lstrip(" \t\f")
    if left:
        lines[row] = before + left + line[span.end.column - 1 :]
    elif after.strip():  # another part of the comment
        lines[row] = before + after
    else:
        lines[row] = before.rstrip() + after if before.strip() else ""
    return Rewrite("".join(lines), (span,))
