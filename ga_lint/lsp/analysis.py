"""What is wrong with a text that an editor holds, and what would cure it? The engine's answers, while they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from ga_lint.compared import Compared
from ga_lint.diagnostics import Diagnostic, FixTier
from ga_lint.engine.held import Checker, held
from ga_lint.engine.scope import Scope
from ga_lint.errors import FixNotApplicable
from ga_lint.notebook import read_notebook
from ga_lint.outcome import Failed, FileOutcome, Found
from ga_lint.source import Edit, SourceFile


class Cure(Struct, frozen=True):
    """Something that an editor can offer for a finding."""

    title: str
    diagnostic: Diagnostic
    edits: tuple[Edit, ...]
    preferred: bool


class Analysis(Compared, frozen=True):
    """One text and what is wrong with it. `scope` is None where the text could not be analysed."""

    beside = frozenset(("_cures",))

    source: SourceFile
    outcome: FileOutcome
    scope: Scope | None
    _cures: dict[Diagnostic, tuple[Cure | None, Cure | None]] = field(default_factory=dict)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return self.outcome.diagnostics if isinstance(self.outcome, Found | Failed) else ()

    def cures(self, found: Sequence[Diagnostic]) -> list[Cure]:
        """The rewrites of these findings, as far as they are proved, then a comment for each.

        A rewrite takes as long as some checks of the whole text, so only what is asked for is worked out.
        """
        for diagnostic in found:
            if diagnostic not in self._cures:
                proposed = self._with_edit(diagnostic)
                self._cures[diagnostic] = (_rewrite(proposed), _silence(self.source, proposed))
        pairs = [self._cures[diagnostic] for diagnostic in found]
        return [cure for cures in zip(*pairs, strict=True) for cure in cures if cure is not None]

    def _with_edit(self, diagnostic: Diagnostic) -> Diagnostic:
        if self.scope is None or not isinstance(self.outcome, Found):
            return diagnostic
        from ga_lint.engine.propose import TextOutcomes, findings_by, with_edit  # LibCST, for the first one

        return with_edit(self.source, diagnostic, self.outcome, findings_by(TextOutcomes(self.scope)))


class Document(Struct, frozen=True):
    """A text, or a cell of a notebook, as it was when it was looked at."""

    uri: str
    version: int | None
    lines: list[str]


class Answer(Struct, frozen=True):
    """What was last said about a text, or about a notebook: its cells by their numbers, a text by None."""

    analysis: Analysis
    documents: dict[int | None, Document]

    def cell_of(self, uri: str) -> int | None:
        return next(cell for cell, document in self.documents.items() if document.uri == uri)


def _rewrite(diagnostic: Diagnostic) -> Cure | None:
    fix = diagnostic.finding.fix
    if fix is None or not diagnostic.edits or fix.tier is FixTier.DISPLAY:
        return None
    unsafe = " (changes the gradient by intent)" if fix.tier is FixTier.UNSAFE else ""
    title = f"{diagnostic.finding.code}: {fix.summary}{unsafe}"
    return Cure(title, diagnostic, diagnostic.edits, preferred=fix.tier is FixTier.SAFE)


def _silence(source: SourceFile, diagnostic: Diagnostic) -> Cure | None:
    from ga_lint.engine.add_ignore import NEVER, with_ignores
    from ga_lint.engine.propose import edits_between

    if diagnostic.finding.code in NEVER:
        return None
    try:
        edits = edits_between(source, source.rewritten(with_ignores(source, [diagnostic], "")))
    except FixNotApplicable:
        return None
    return Cure(f"{diagnostic.finding.code}: silence it by a comment", diagnostic, edits, preferred=False)


class Analyser:
    """Answers for one session; what it has read of other files and settings holds until `forget`."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Files on disk may have changed."""
        self._check = Checker()

    def of_text(self, path: Path, text: str) -> Analysis:
        """The analysis of a file as the editor shows it."""
        return self._of(held(path, text))

    def of_cells(self, path: Path, cells: Sequence[str | None]) -> Analysis:
        """The analysis of a notebook: the text of each code cell, None for the others."""
        kinds = [{"cell_type": "raw" if text is None else "code", "source": text or ""} for text in cells]
        return self._of(read_notebook(path, json.dumps({"cells": kinds}).encode()))

    def _of(self, source: SourceFile) -> Analysis:
        outcome, scope = self._check(source)
        return Analysis(source, outcome, scope)
