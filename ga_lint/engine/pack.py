"""How does an outcome travel? As plain lists, to another process and into the cache; never as code that is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ga_lint.diagnostics import (
    Confidence,
    Diagnostic,
    Effect,
    EffectKind,
    Finding,
    FixRequest,
    FixTier,
    Severity,
    Step,
)
from ga_lint.outcome import Clean, Failed, FileOutcome, Found, Skipped, SkipReason
from ga_lint.source import Position, Span

Packed = list[Any]


def pack(outcome: FileOutcome) -> Packed | None:
    """The outcome without the file's text; None for a notebook's findings, which say more."""
    match outcome:
        case Clean():
            return ["clean"]
        case Skipped(reason=reason):
            return ["skipped", reason.value]
        case Found(diagnostics=found) if not any(each.cell or each.in_module or each.edits for each in found):
            return ["found", [_diagnostic(each) for each in found]]
        case Failed(error=error, internal=internal, diagnostics=()):
            return ["failed", error, internal]
        case _:
            return None


def unpack(path: Path, packed: Packed) -> FileOutcome:
    """The outcome of the file at `path`; ValueError, KeyError, TypeError or IndexError where it is none."""
    match packed:
        case ["clean"]:
            return Clean(path)
        case ["skipped", reason]:
            return Skipped(path, SkipReason(reason))
        case ["found", found]:
            return Found(path, tuple(_to_diagnostic(path, each) for each in found))
        case ["failed", str(error), bool(internal)]:
            return Failed(path, error, internal)
        case _:
            raise ValueError("not an outcome")


def _diagnostic(one: Diagnostic) -> Packed:
    f, effect, fix = one.finding, one.finding.effect, one.finding.fix
    trace = [[step.message, str(step.path), _span(step.span)] for step in f.trace]
    return [
        [one.fingerprint, one.noqa_row, one.source_line, [list(each) for each in one.context]],
        [f.code, f.name, f.severity.value, f.confidence.value, f.message, _span(f.span), f.label, f.scope],
        [effect.kind.value, effect.message, effect.factor, effect.value, effect.on_ranks, effect.mean_of_means],
        trace,
        _fix(fix) if fix else None,
        f.fix_refusal,
    ]


def _to_diagnostic(path: Path, packed: Packed) -> Diagnostic:
    (fingerprint, noqa_row, line, context), stated, effect, trace, fix, refusal = packed
    kind, *does = effect
    code, name, severity, confidence, text, span, label, scope = stated
    finding = Finding(
        code=code,
        name=name,
        severity=Severity(severity),
        confidence=Confidence(confidence),
        message=text,
        span=_to_span(span),
        label=label,
        effect=Effect(EffectKind(kind), *does),
        scope=scope,
        trace=tuple(Step(words, Path(where), _to_span(place)) for words, where, place in trace),
        fix=_to_fix(fix) if fix else None,
        fix_refusal=refusal,
    )
    return Diagnostic(path, finding, fingerprint, noqa_row, line, tuple((row, near) for row, near in context))


def _fix(fix: FixRequest) -> Packed:
    targets = [[role, _span(span)] for role, span in fix.targets]
    options = [list(each) for each in fix.options]
    otherwise = None if fix.otherwise is None else _fix(fix.otherwise)
    return [fix.fixer, fix.tier.value, fix.summary, targets, options, [_fix(each) for each in fix.also], otherwise]


def _to_fix(packed: Packed) -> FixRequest:
    fixer, tier, summary, targets, options, also, otherwise = packed
    return FixRequest(
        fixer,
        FixTier(tier),
        summary,
        tuple((role, _to_span(span)) for role, span in targets),
        tuple((name, text) for name, text in options),
        tuple(_to_fix(each) for each in also),
        None if otherwise is None else _to_fix(otherwise),
    )


def _span(span: Span) -> list[int]:
    return [span.start.row, span.start.column, span.end.row, span.end.column]


def _to_span(packed: list[int]) -> Span:
    row, column, last, end = packed
    return Span(Position(row, column), Position(last, end))
