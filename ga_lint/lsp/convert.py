"""How do places and findings look in the protocol? Rows and columns from 0, columns in the client's own units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lsprotocol import types
from pygls import uris
from pygls.workspace import PositionCodec

from ga_lint.diagnostics import Diagnostic, Severity
from ga_lint.resources import page_url
from ga_lint.source import Edit, Position, Span

_SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.INFO: types.DiagnosticSeverity.Information,
}
UNUSED = "GA002"  # shown faded, as editors show what can go


class Converter:
    """Places in one text."""

    def __init__(self, codec: PositionCodec, lines: Sequence[str]) -> None:
        self._codec = codec
        self._lines = lines

    def position(self, position: Position) -> types.Position:
        zero_based = types.Position(position.row - 1, position.column - 1)
        return self._codec.position_to_client_units(self._lines, zero_based)

    def range(self, span: Span) -> types.Range:
        return types.Range(self.position(span.start), self.position(span.end))

    def edit(self, edit: Edit) -> types.TextEdit:
        return types.TextEdit(self.range(edit.span), edit.text)

    def diagnostic(self, diagnostic: Diagnostic) -> types.Diagnostic:
        """The finding; steps in other files keep our columns, whose lines we need not have."""
        finding = diagnostic.finding
        return types.Diagnostic(
            range=self.range(finding.span),
            message=f"{finding.message}\neffect: {finding.effect.message}",
            severity=_SEVERITIES[finding.severity],
            code=finding.code,
            code_description=types.CodeDescription(page_url(finding.code, finding.name)),
            source="ga-lint",
            tags=[types.DiagnosticTag.Unnecessary] if finding.code == UNUSED else None,
            related_information=[
                types.DiagnosticRelatedInformation(
                    types.Location(uri_of(step.path), self._range_in(step.path == diagnostic.path, step.span)),
                    step.message,
                )
                for step in finding.trace
                if step.cell is None
            ],
        )

    def _range_in(self, here: bool, span: Span) -> types.Range:
        if here:
            return self.range(span)
        start, end = span.start, span.end
        return types.Range(types.Position(start.row - 1, start.column - 1), types.Position(end.row - 1, end.column - 1))


def failure(error: str) -> types.Diagnostic:
    """What could not be analysed must not look clean."""
    start = types.Position(0, 0)
    message = f"could not be analysed: {error}"
    return types.Diagnostic(types.Range(start, start), message, types.DiagnosticSeverity.Error, source="ga-lint")


def overlaps(one: types.Range, other: types.Range) -> bool:
    """Whether they share a place; a cursor at an end counts."""
    starts, ends = (one.start, other.start), (one.end, other.end)
    first = max((p.line, p.character) for p in starts)
    last = min((p.line, p.character) for p in ends)
    return first <= last


def path_of(uri: str) -> Path:
    """The file behind a URI; a text that was never saved counts as one in the working folder."""
    path = uris.to_fs_path(uri)
    return Path(path) if path and uri.startswith("file:") else Path("untitled.py")


def uri_of(path: Path) -> str:
    return uris.from_fs_path(str(path.absolute())) or ""
