"""The outcome of a numeric check that every reporter is tried on: each verdict once, and all that can be awkward."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from msgspec.structs import replace

from ga_lint.diagnostics import Diagnostic, EffectKind
from ga_lint.outcome import Clean, Failed, Report
from ga_lint.report.numeric.model import NumericReport, SiteReport
from ga_lint.verify.model import Outcome, Run, Site, SiteKind, Verdict
from ga_lint.verify.runs import ORIGINAL
from ga_lint.verify.sweep import ParameterGradient, Point, Sweep
from testbed.reports import MEAN, ODD, TRAIN, span

HOSTILE = "<script>alert('x')</script><b onclick=x>&\"\x1b[2J\u202e]]>"  # markup, control characters, reordering
TEXT = (
    "def train():\n    for batch in loader:\n        loss = model(**batch).loss / steps  # é\n        loss.backward()\n"
)
REWRITTEN = TEXT.replace("/ steps", "* share")


def run(name: str, error: float, scale: float = 1.0, setting: str = "", row: str = "") -> Run:
    return Run(name, setting, error, scale, "head.weight", 1e-2 if row else 1e-6, row)


def site(path: Path = TRAIN, **fields: object) -> Site:
    return dataclasses.replace(Site(path, SiteKind.LOOP, "train", 4, TEXT), **fields)  # type: ignore[arg-type]


def finding(code: str, name: str, row: int) -> Diagnostic:
    stated = replace(MEAN.finding, code=code, name=name, span=span(row, 16, 28), scope="train")
    return replace(MEAN, finding=stated, fingerprint=f"{code}-{row}", context=(), edits=())


SWEEP = Sweep(
    parameters=(
        ParameterGradient("head.weight", 0.38, 0.57, 2e-16, ((-0.1, -0.05, -0.1), (0.0, 0.1, 0.0), (0.2, 9.0, 0.2))),
        ParameterGradient(f"mix.{HOSTILE}", 0.1, 0.7, 0.0, ((0.1, 0.2, 0.1),)),
    ),
    steps=(Point(1, 0.0, 0.0), Point(2, 0.87, 1.7e-16), Point(4, 0.67, 1.6e-16), Point(16, None, None, "fails here")),
    skew=(Point(0.0, 1.6e-16, 1.5e-16), Point(0.5, 0.6, math.nan)),
)
MEAN_OF_MEANS = finding("GA101", "mean-of-means", 3)
DOUBLE = finding("GA103", "double-division", 3)
CONFIRMED = SiteReport(
    Verdict(
        site(rewritten=REWRITTEN),
        Outcome.CONFIRMED,
        (
            *(run("R0", 1.9e-16), run("R1", 0.67, 0.995), run("R2", 1.6e-16), run("R3", 0.0)),
            *(run("R2", 0.3, 1, "no count"), run("R4", 2e-16), run("R4", 3e-16, setting="2 processes, DDP")),
            *(run("R0", 9e-4, row="bfloat16"), run("R1", 0.7, row="bfloat16"), run("R2", 2e-3, row="bfloat16")),
        ),
        ("stand-ins that do nothing: wandb",),
        sweep=SWEEP,
    ),
    (MEAN_OF_MEANS,),
)
REFUTED = SiteReport(
    Verdict(
        site(ODD, rewritten=REWRITTEN, scope=HOSTILE, original=TEXT + HOSTILE),
        Outcome.REFUTED,
        (run("R0", 0), run("R1", 0.5), run("R2", math.nan, math.nan), run("R3", 0.2), run("R4", 0.3)),
        (f"`{HOSTILE}` is a second tiny model",),
        f"R2: the gradient still depends on how the batch is cut {HOSTILE}",
    )
)
MISSING = SiteReport(
    Verdict(
        site(kind=SiteKind.TRAINER),
        Outcome.MISSING_DIVISION,
        (run("R0", 3.0, 4.0, "count passed"), run("R1", 4.2, 4.5, "count passed"), run("R0", 0, 1, "no count")),
        reason="the gradient is 4 times too large with 4 accumulation steps: a division is missing",
    )
)
WRONG = SiteReport(
    Verdict(site(), Outcome.WRONG, (run("R0", 0), run("R1", 0.5)), reason="relative error 0.5 when the counts differ")
)
CLEARED = SiteReport(
    Verdict(site(), Outcome.CORRECT, (run("R0", 0), run("R1", 1.6e-16))),
    (MEAN_OF_MEANS, DOUBLE),
    (MEAN_OF_MEANS,),
)
CORRECT = SiteReport(Verdict(site(), Outcome.CORRECT, (run("R0", 0),), reason="get_batch() stacks blocks of one size"))
INCONCLUSIVE = SiteReport(
    Verdict(site(), Outcome.INCONCLUSIVE, (run("R0", 1e-4),), reason="R0: neither noise nor a clear difference")
)
MISSING_NAME = SiteReport(
    Verdict(
        site(Path("nb/train.ipynb"), row=14, rows_above=10, cell=3, original="\n" * 10 + TEXT, scope=""),
        Outcome.NOT_VERIFIABLE,
        reason="needs `secret_loss` (line 3 of cell 3)",
    )
)
OF_RANKS = SiteReport(
    Verdict(
        site(rewritten=REWRITTEN),
        Outcome.CONFIRMED,
        (
            *(run("R0", 1e-16), run("R1", 1e-16), run("R2", 1e-16), run("R3", 0.0)),
            *(run("R4", 2e-16), run("R4", 0.5, 0.5, ORIGINAL), run("R0", 0.5, 0.5, "2 ranks")),
        ),
    )
)
DIED = SiteReport(Verdict(site(), Outcome.NOT_RUN, reason="the worker process died or hung on it"))
FILES = Report([Clean(TRAIN), Failed(ODD, f"internal error: {HOSTILE}", internal=True)])
SAMPLE = NumericReport(
    (CONFIRMED, REFUTED, MISSING, WRONG, CLEARED, CORRECT, INCONCLUSIVE, MISSING_NAME, OF_RANKS, DIED), FILES
)
EMPTY = NumericReport((), Report([Clean(TRAIN)]))
assert MEAN.finding.effect.kind is EffectKind.WEIGHTS
