"""What does the engine itself find, apart from the rules? Text that is not Python, and suppressions of nothing."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.rules.registry import Rule, all_rules
from ga_lint.source import Position, Span

if TYPE_CHECKING:
    from ga_lint.facts.model import FileFacts
    from ga_lint.project import Project


def _found_elsewhere(_facts: FileFacts, _project: Project) -> Iterator[Finding]:
    """These two come from the text, not from facts: see check_file and suppress."""
    return iter(())


SYNTAX_ERROR = Rule(
    "GA001", "syntax-error", "the file is not Python", severity=Severity.ERROR, needles=(), check=_found_elsewhere
)
UNUSED_SUPPRESSION = Rule(
    "GA002",
    "unused-suppression",
    "a comment suppresses nothing",
    severity=Severity.INFO,
    needles=(b"ga-lint:", b"noqa: GA"),
    check=_found_elsewhere,
)
UNSUPPRESS = "unsuppress"  # place: `directive`, a part of a comment; option: `text`, what is left of it
_NO_EFFECT = Effect(EffectKind.LOG_ONLY, "none on the gradient")


@functools.cache
def known_rules() -> tuple[Rule, ...]:
    """Everything that can be selected, suppressed and explained."""
    return (SYNTAX_ERROR, UNUSED_SUPPRESSION, *all_rules())


def syntax_error(message: str, position: Position) -> Finding:
    """The finding for text that Python refuses."""
    end = Position(position.row, position.column + 1)
    return Finding(
        code=SYNTAX_ERROR.code,
        name=SYNTAX_ERROR.name,
        severity=SYNTAX_ERROR.severity,
        confidence=Confidence.CERTAIN,
        message=f"not Python: {message}",
        span=Span(position, end),
        label="here",
        effect=Effect(EffectKind.LOG_ONLY, "nothing in this file was checked"),
        scope="",
    )


def unsuppress_request(directive: Span, left: str) -> FixRequest:
    """Put `left` in the place of a directive, which goes wholly where nothing is left."""
    summary = "remove what suppresses nothing"
    return FixRequest(UNSUPPRESS, FixTier.SAFE, summary, (("directive", directive),), (("text", left),))


def unused_suppression(message: str, span: Span, fix: FixRequest | None = None) -> Finding:
    """The finding for a comment that suppresses nothing."""
    return Finding(
        code=UNUSED_SUPPRESSION.code,
        name=UNUSED_SUPPRESSION.name,
        severity=UNUSED_SUPPRESSION.severity,
        confidence=Confidence.CERTAIN,
        message=message,
        span=span,
        label="remove it",
        effect=_NO_EFFECT,
        scope="",
        fix=fix,
        fix_refusal=None if fix else "correct the word by hand",
    )
