"""What became of each file, and so of the whole run?"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from msgspec import Struct, field

from ga_lint.diagnostics import Diagnostic, Severity

EXIT_CLEAN, EXIT_FINDINGS, EXIT_BROKEN = 0, 1, 2


class SkipReason(enum.Enum):
    """Why a file was left out although it was found. Not an error: the user or the file asked for it."""

    EXCLUDED = "excluded"
    STUB = "type stub"
    GENERATED = "file-ignore comment"


class Clean(Struct, frozen=True):
    """Analysed; nothing to report."""

    path: Path


class Found(Struct, frozen=True):
    """Analysed; `diagnostics` in order of their place."""

    path: Path
    diagnostics: tuple[Diagnostic, ...]


class Skipped(Struct, frozen=True):
    """Not analysed, on purpose."""

    path: Path
    reason: SkipReason


class Failed(Struct, frozen=True):
    """Not analysed, or not wholly: `error` says why; `internal` marks a fault of ga-lint's own.

    What was found before the failure is kept: a fault of one rule never hides what another one found.
    """

    path: Path
    error: str
    internal: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()


FileOutcome = Clean | Found | Skipped | Failed


class Report(Struct, frozen=True):
    """All outcomes of one run, in order of their paths."""

    outcomes: Sequence[FileOutcome]
    fail_on: Severity = Severity.INFO
    exit_zero: bool = False
    notes: tuple[str, ...] = field(default=())  # lines for stderr, such as "no Python files found"
    partial: bool = False  # known findings are left out, so that none are left does not mean that there are none
    below: str = ""  # the working folder as CI counts it, from the root of the repository

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return [d for outcome in self.outcomes if isinstance(outcome, Found | Failed) for d in outcome.diagnostics]

    @property
    def failures(self) -> list[Failed]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Failed)]

    @property
    def exit_code(self) -> int:
        if self.failures:
            return EXIT_BROKEN
        failing = any(d.finding.severity.rank <= self.fail_on.rank for d in self.diagnostics)
        return EXIT_FINDINGS if failing and not self.exit_zero else EXIT_CLEAN

    @property
    def checked(self) -> int:
        return sum(isinstance(outcome, Clean | Found) for outcome in self.outcomes)

    def summary(self) -> str:
        """The last line of every run: how many files were looked at, and how many were not, and why."""
        reasons: dict[str, int] = {}
        for outcome in self.outcomes:
            match outcome:
                case Skipped(reason=reason):
                    reasons[reason.value] = reasons.get(reason.value, 0) + 1
                case Failed(internal=internal):
                    text = "internal error" if internal else "could not be read"
                    reasons[text] = reasons.get(text, 0) + 1
                case Clean() | Found():
                    pass
                case _:
                    assert_never(outcome)
        line = f"{plural(self.checked, 'file')} checked"
        if reasons:
            details = ", ".join(f"{count} {text}" for text, count in sorted(reasons.items()))
            line += f", {sum(reasons.values())} skipped ({details})"
        return line


def plural(count: int, noun: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
