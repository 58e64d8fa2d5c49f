"""The reports that every reporter is tried on: all that can be awkward, files that are no Python, and nothing."""

from __future__ import annotations

from pathlib import Path

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
from ga_lint.engine.own_rules import syntax_error
from ga_lint.outcome import Clean, Failed, Found, Report, Skipped, SkipReason
from ga_lint.source import Edit, Position, Span

TRAIN, ODD = Path("src/train.py"), Path("odd\x1b[31m,a:b%.py")


def span(row: int, start: int, end: int, last: int | None = None) -> Span:
    return Span(Position(row, start), Position(last or row, end))


MEAN = Diagnostic(
    path=TRAIN,
    finding=Finding(
        code="GA101",
        name="mean-of-means",
        severity=Severity.WARNING,
        confidence=Confidence.CERTAIN,
        message="a mean is averaged over 8 micro-batches",
        span=span(88, 16, 28),
        label="reduced to a mean here",
        effect=Effect(EffectKind.WEIGHTS, "tokens of short micro-batches weigh more"),
        scope="train",
        trace=(
            Step("labels padded with -100", Path("src/data.py"), span(41, 5, 9)),
            Step("divided by steps", TRAIN, span(88, 16, 60)),
            Step("stepped every 8", TRAIN, span(90, 1, 2)),
        ),
        fix=FixRequest("window-share", FixTier.UNSAFE, "weight each micro-batch by its share"),
    ),
    fingerprint="0123abcd",
    noqa_row=89,
    source_line="        loss = outputs.loss / steps",
    context=((86, "\toutputs = model(**batch)"), (90, "        optimizer.step()")),
    edits=(Edit(span(88, 16, 28), "share"),),
    verified="confirmed",
)
WIDE = Diagnostic(
    path=ODD,
    finding=Finding(
        code="GA203",
        name="unforwarded-num-items",
        severity=Severity.ERROR,
        confidence=Confidence.LIKELY,
        message="100% wrong,\nreally",
        span=span(3, 6, 2, last=5),
        label="here",
        effect=Effect(EffectKind.SCALE, "gradients are 8 times too large", factor="GAS", value=8.0),
        scope="",
        fix_refusal="there is a comment inside",
    ),
    fingerprint="4567",
    noqa_row=5,
    source_line="損失 = (\x1b[2J損失  ",
    text="# 1\n# 2\n損失 = (\x1b[2J損失  \n    + 1\n)\n",
)
SAMPLE = Report(
    [
        Found(TRAIN, (MEAN,)),
        Clean(Path("src/clean.py")),
        Failed(ODD, "internal error in GA101: boom\nbang", internal=True, diagnostics=(WIDE,)),
    ]
)
BROKEN = Diagnostic(
    path=Path("nb/first.ipynb"),
    finding=syntax_error("'(' was never closed", Position(2, 7)),
    fingerprint="89ab",
    noqa_row=2,
    source_line="print(",
    cell=3,
)
SYNTAX = Report(
    [
        Found(BROKEN.path, (BROKEN,)),
        Skipped(Path("stubs/a.pyi"), SkipReason.STUB),
        Failed(Path("bin/x.py"), "binary file (null bytes)"),
    ]
)
EMPTY = Report([Clean(TRAIN)])
