"""What would each rewrite change? The edits that reports and editors show, proved like those that are written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from ga_lint.diagnostics import Diagnostic, Finding, FixRequest
from ga_lint.engine.check_file import check_source
from ga_lint.engine.fault import Fault
from ga_lint.engine.fix_file import rewritten
from ga_lint.engine.proof import Check
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import with_cell_lines
from ga_lint.errors import FixNotApplicable
from ga_lint.outcome import Clean, FileOutcome, Found
from ga_lint.source import Edit, Position, SourceFile, Span, ended_lines

_KEPT = 2  # the text as it is, and the one that is tried


def with_edits(source: SourceFile, outcome: FileOutcome, check: Check) -> FileOutcome:
    """The outcome with the edits of every finding that has a rewrite, or with the reason why it has none after all.

    `check` says what is wrong with a text; each rewrite stands alone, on the text as it is.
    """
    if not isinstance(outcome, Found):
        return outcome
    return replace(outcome, diagnostics=tuple(with_edit(source, each, outcome, check) for each in outcome.diagnostics))


def with_edit(source: SourceFile, diagnostic: Diagnostic, outcome: Found, check: Check) -> Diagnostic:
    """The same for one of the outcome's findings."""
    finding, findings = diagnostic.stated, [each.stated for each in outcome.diagnostics]
    if finding.fix is None:
        return diagnostic
    try:
        new = rewritten(source, finding, finding.fix, findings, check)
    except FixNotApplicable as refusal:
        reason = with_cell_lines(source, str(refusal))
    except Exception as error:  # noqa: BLE001 - one rewrite never hides the findings
        reason = Fault.of("rewriting", error).text
    else:
        shown = replace(diagnostic.finding, fix=as_written(diagnostic.finding.fix, new.request))
        return replace(diagnostic, finding=shown, edits=edits_between(source, new.source))
    return replace(diagnostic, finding=replace(diagnostic.finding, fix_refusal=reason))


def as_written(asked: FixRequest | None, written: FixRequest) -> FixRequest | None:
    """What was asked for, called what was written in the end."""
    return asked and replace(asked, summary=written.summary)


class TextOutcomes:
    """The outcomes of the texts that one file goes through: what a rewrite leaves is the next one's beginning."""

    def __init__(self, scope: Scope, known: Mapping[SourceFile, FileOutcome] = MappingProxyType({})) -> None:
        self._scope = scope
        self._last = dict(known)

    def of(self, source: SourceFile) -> FileOutcome:
        """The outcome of this text."""
        outcome = self._last.pop(source, None) or check_source(source, self._scope)
        self._last[source] = outcome  # the latest at the end
        while len(self._last) > _KEPT:
            del self._last[next(iter(self._last))]
        return outcome


def findings_by(outcomes: TextOutcomes, leave: frozenset[str] = frozenset()) -> Check:
    """What `check` says about a text, for the fixer's proof; findings of the fingerprints in `leave` are left alone."""

    def check(source: SourceFile) -> Sequence[Finding]:
        match outcomes.of(source):
            case Found(diagnostics=diagnostics):
                return [each.stated for each in diagnostics if each.fingerprint not in leave]
            case Clean():
                return []
            case outcome:
                raise FixNotApplicable(f"the rewritten text cannot be checked: {outcome}")

    return check


def edits_between(before: SourceFile, after: SourceFile) -> tuple[Edit, ...]:
    """Whole lines that make `after` of `before`, in order and apart from one another; in a notebook cell by cell."""
    pairs = zip(before.parts, after.parts, strict=True)
    return tuple(
        edit for old, new in pairs if old.shown != new.shown for edit in _edits(old.cell, old.shown, new.shown)
    )


def _edits(cell: int | None, before: str, after: str) -> Iterator[Edit]:
    old, new = ended_lines(before), ended_lines(after)
    for tag, first, last, start, end in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield Edit(Span(Position(first + 1, 1), Position(last + 1, 1)), "".join(new[start:end]), cell)
