"""Which findings is this run not about? Those of a baseline, and those that no changed line takes part in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ga_lint.diagnostics import Diagnostic
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Clean, Failed, FileOutcome, Found


class Known(Protocol):
    """A reason to leave findings of a file out."""

    def among(self, path: Path, found: Sequence[Diagnostic], scope: Scope) -> frozenset[str]:
        """The fingerprints of those that are left out. Asked once for each file that was analysed."""


def known_among(known: Sequence[Known], path: Path, outcome: FileOutcome, scope: Scope) -> frozenset[str]:
    """What every reason together leaves out of this outcome."""
    if not known or not isinstance(outcome, Clean | Found | Failed):
        return frozenset()
    found = () if isinstance(outcome, Clean) else outcome.diagnostics
    return frozenset().union(*(reason.among(path, found, scope) for reason in known))


def without(outcome: FileOutcome, fingerprints: frozenset[str]) -> FileOutcome:
    """The outcome without the findings of these fingerprints."""
    if not fingerprints or not isinstance(outcome, Found | Failed):
        return outcome
    left = tuple(diagnostic for diagnostic in outcome.diagnostics if diagnostic.fingerprint not in fingerprints)
    if isinstance(outcome, Found) and not left:
        return Clean(outcome.path)
    return replace(outcome, diagnostics=left)
