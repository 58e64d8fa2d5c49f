"""Which findings is this run not about? Those of a baseline, and those that no changed line takes part in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from ga_lint.outcome import Clean, Failed, FileOutcome, Found

if TYPE_CHECKING:
    from ga_lint.engine.scope import Scope

Analysed = Clean | Found | Failed


class Known(Protocol):
    """A reason to leave findings of a file out."""

    def among(self, outcome: Analysed, scope: Scope) -> frozenset[str]:
        """The fingerprints of those that are left out. Asked once for each file, with all that was found in it."""


def known_among(known: Sequence[Known], outcome: FileOutcome, scope: Scope) -> frozenset[str]:
    """What every reason together leaves out of this outcome."""
    if not known or not isinstance(outcome, Analysed):
        return frozenset()
    return frozenset().union(*(reason.among(outcome, scope) for reason in known))


def without(outcome: FileOutcome, fingerprints: frozenset[str]) -> FileOutcome:
    """The outcome without the findings of these fingerprints."""
    if not fingerprints or not isinstance(outcome, Found | Failed):
        return outcome
    left = tuple(diagnostic for diagnostic in outcome.diagnostics if diagnostic.fingerprint not in fingerprints)
    if isinstance(outcome, Found) and not left:
        return Clean(outcome.path)
    return replace(outcome, diagnostics=left)
