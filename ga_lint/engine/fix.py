"""What does a whole run of `fix` rewrite, and what does it leave?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.config import ConfigFinder
from ga_lint.diagnostics import Diagnostic
from ga_lint.engine.check_file import check_bytes
from ga_lint.engine.fault import Fault
from ga_lint.engine.fix_file import Ask, Confirm, FixOutcome, Refused, fix_file
from ga_lint.engine.known import Known, known_among, without
from ga_lint.engine.propose import TextOutcomes, as_written, edits_between, findings_by
from ga_lint.engine.run import Progress, visit_files, visit_text
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import with_cell_lines
from ga_lint.engine.write import write_back
from ga_lint.errors import SourceError
from ga_lint.notebook import read_text
from ga_lint.outcome import Failed, FileOutcome, Found, Report
from ga_lint.source import SourceFile


class Policy(Struct, frozen=True):
    """Which rewrites may be made, and whether they are written."""

    unsafe: bool = False
    verified_only: bool = False
    confirm: Confirm | None = None
    ask: Ask | None = None
    write: bool = True
    known: Sequence[Known] = ()  # reasons to leave findings alone


class FixReport(Struct, frozen=True):
    """One run: the files whose text changes, and what is left to report."""

    rewritten: Sequence[FixOutcome]
    left: Report


def fix(
    paths: Sequence[Path],
    finder: ConfigFinder,
    policy: Policy,
    *,
    force_exclude: bool = False,
    progress: Progress | None = None,
) -> FixReport:
    """Rewrite every Python file below the paths."""
    fixer = _Fixer(policy)
    report = visit_files(paths, finder, fixer.visit, force_exclude=force_exclude, progress=progress)
    return FixReport(fixer.rewritten, report)


def fix_text(path: Path, data: bytes, finder: ConfigFinder, policy: Policy) -> FixReport:
    """Rewrite a text under the path that it would have; nothing is written to disk."""
    fixer = _Fixer(replace(policy, write=False))
    return FixReport(fixer.rewritten, visit_text(path, data, finder, fixer.visit))


class _Fixer:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.rewritten: list[FixOutcome] = []

    def visit(self, path: Path, data: bytes, scope: Scope, whole: bool) -> FileOutcome:
        outcome, rewriting = fix_bytes(path, data, scope, self._policy, whole=whole)
        if rewriting is not None and rewriting.changed:
            self.rewritten.append(rewriting)
        return outcome


def fix_bytes(
    path: Path, data: bytes, scope: Scope, policy: Policy, *, whole: bool = False
) -> tuple[FileOutcome, FixOutcome | None]:
    """Rewrite one file as it was read: what is left in it, and the rewriting unless there was nothing to do."""
    outcome = check_bytes(path, data, scope, whole=whole)
    leave = known_among(policy.known, outcome, scope)
    asked = without(outcome, leave)
    if not isinstance(asked, Found):
        return asked, None
    source = read_text(path, data)
    outcomes = TextOutcomes(scope, {source: outcome})
    try:
        rewriting = fix_file(
            source,
            findings_by(outcomes, leave),
            unsafe=policy.unsafe,
            verified_only=policy.verified_only,
            confirm=policy.confirm,
            ask=policy.ask,
        )
    except Exception as error:  # noqa: BLE001 - one file never stops the run
        fault = Fault.of("rewriting", error)
        return Failed(path, fault.text, fault.internal, asked.diagnostics), None
    if rewriting.changed and policy.write:
        try:
            write_back(source, rewriting.after)
        except SourceError as error:
            return Failed(path, str(error), diagnostics=asked.diagnostics), None
    left = without(outcomes.of(rewriting.after), leave)
    if isinstance(left, Found):
        left = Found(path, tuple(_with_refusals(left.diagnostics, rewriting)))
    return left, rewriting


def _with_refusals(diagnostics: Sequence[Diagnostic], rewriting: FixOutcome) -> Iterator[Diagnostic]:
    """Why each finding was left, what its rewrite would change, and what the numeric check says about that."""
    refusals = {refused.finding: refused for refused in rewriting.refused}
    for diagnostic in diagnostics:
        refused = refusals.get(diagnostic.stated)
        yield diagnostic if refused is None else _refused(diagnostic, refused, rewriting.after)


def _refused(diagnostic: Diagnostic, refused: Refused, source: SourceFile) -> Diagnostic:
    finding = replace(diagnostic.finding, fix_refusal=with_cell_lines(source, refused.reason))
    new = refused.proposed
    if new is not None:
        finding = replace(finding, fix=as_written(finding.fix, new.request))
    return replace(
        diagnostic,
        finding=finding,
        edits=() if new is None else edits_between(source, new.source),
        verified=refused.verified,
    )
