"""What is added to what was found before it is told, and which findings are left out?

Formats for machines hold the text of each rewrite, and readable ones say which rewrites can be had: only planning them
tells. A baseline, and the lines that a branch changed, leave findings out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.engine.known import Known, known_among, without
from ga_lint.errors import SourceError
from ga_lint.outcome import FileOutcome, Found
from ga_lint.source import read_bytes

if TYPE_CHECKING:
    from ga_lint.engine.scope import Scope
    from ga_lint.source import SourceFile

MOST_EDITED = 100  # findings with their rewrites' text: 20 ms each in a script, 0.5 s in a file of 5,000 lines
# Bytes of the files that promise a rewrite: 0.2 s to import LibCST, then 0.3 s at most. 13 trainers of TRL, of 800 kB
# together, would take 5 s, twice as long as their check.
SHORT = 50_000


class Wanted(Struct, frozen=True):
    """What a report is to say besides the findings, and which it is not about."""

    edits: bool = False  # the text of each rewrite, of the first `MOST_EDITED` findings of the run
    plans: bool = False  # of the rewrites that are spoken of those that can be had, where the files are `SHORT`
    known: Sequence[Known] = ()  # reasons to leave findings out


class Examined(Struct, frozen=True):
    """A file's outcome as it was found, and what it was found by: few are asked for that."""

    outcome: FileOutcome
    scope_of: Callable[[], Scope] | None = None  # None where there was none: what is excluded, a wrong configuration


def finished(files: Iterable[Examined], wanted: Wanted, data: bytes | None = None) -> list[FileOutcome]:
    """What is told of each file. `data`: its text, where that is not what the disk has."""
    finisher = _Finisher(wanted, data)
    told = [(each, finisher.told(each)) for each in files]
    if wanted.plans and finisher.is_short(told):
        return [finisher.planned(each, outcome) for each, outcome in told]
    return [outcome for _, outcome in told]


class _Finisher:
    def __init__(self, wanted: Wanted, data: bytes | None) -> None:
        self._wanted, self._data = wanted, data
        self._to_edit = MOST_EDITED

    def told(self, file: Examined) -> FileOutcome:
        """The outcome with edits where they are wanted, without what is known."""
        outcome = file.outcome
        if file.scope_of is None or not (self._wanted.edits or self._wanted.known):
            return outcome
        scope = file.scope_of()
        if self._wanted.edits and isinstance(outcome, Found):
            outcome = self._edited(outcome, scope)
        return without(outcome, known_among(self._wanted.known, outcome, scope))

    def _edited(self, outcome: Found, scope: Scope) -> FileOutcome:
        source = self._source(outcome.path)
        if source is None:
            return outcome
        outcome = _with_text(outcome, source)
        if self._to_edit <= 0:
            return outcome
        from ga_lint.engine.propose import TextOutcomes, findings_by, with_edits

        self._to_edit -= len(outcome.diagnostics)
        return with_edits(source, outcome, findings_by(TextOutcomes(scope)))

    def is_short(self, told: Iterable[tuple[Examined, FileOutcome]]) -> bool:
        """Is there so little text with rewrites nobody has tried that all of them can be?"""
        promising = (outcome for file, outcome in told if file.scope_of is not None and _has_untried(outcome))
        return sum(self._size(outcome.path) for outcome in promising) <= SHORT

    def planned(self, file: Examined, outcome: FileOutcome) -> FileOutcome:
        """The outcome with the edits of each rewrite, or with what is in its way.

        Each is proved against all that was found in the file, also what a baseline leaves out.
        """
        if file.scope_of is None or not isinstance(outcome, Found) or not isinstance(file.outcome, Found):
            return outcome
        source = self._source(outcome.path) if _has_untried(outcome) else None
        if source is None:
            return outcome
        from ga_lint.engine.propose import TextOutcomes, findings_by, with_edit

        check, found = findings_by(TextOutcomes(file.scope_of())), file.outcome
        return replace(
            outcome, diagnostics=tuple(with_edit(source, each, found, check) for each in outcome.diagnostics)
        )

    def _source(self, path: Path) -> SourceFile | None:
        from ga_lint.notebook import read_text

        try:
            return read_text(path, read_bytes(path) if self._data is None else self._data)
        except SourceError:  # it was there a moment ago
            return None

    def _size(self, path: Path) -> int:
        if self._data is not None:
            return len(self._data)
        try:
            return path.stat().st_size
        except OSError:  # likewise
            return 0


def _has_untried(outcome: FileOutcome) -> bool:
    return isinstance(outcome, Found) and any(each.has_untried_rewrite for each in outcome.diagnostics)


def _with_text(outcome: Found, source: SourceFile) -> Found:
    """The findings with the text that they are about, which neither travels nor is kept."""
    from ga_lint.notebook import NotebookSource

    if isinstance(source, NotebookSource):
        return outcome
    return replace(outcome, diagnostics=tuple(replace(each, text=source.text) for each in outcome.diagnostics))
