"""GA218: see rules/GA218-rank-local-average.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Finding, Severity
from ga_lint.facts.model import LOCAL_AVERAGE, FileFacts, Place
from ga_lint.project import Project
from ga_lint.rules._average_fixes import average_fix
from ga_lint.rules._effects import OF_RANKS
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule


@rule(
    "GA218",
    "rank-local-average",
    "average_tokens_across_devices=False: each rank divides by its own count",
    severity=Severity.WARNING,
    needles=(LOCAL_AVERAGE,),
)
def rank_local_average(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False or any(override.sample_base for override in facts.overrides):
        return
    for off in facts.local_averages:
        yield _finding(off.place, average_fix(off, facts, project))


def _finding(place: Place, fix: Fix) -> Finding:
    return Finding(
        code="GA218",
        name="rank-local-average",
        severity=Severity.WARNING,
        confidence=Confidence.LIKELY,
        message="each rank divides by its own count of targets, and the ranks' means are averaged",
        span=place.span,
        label="counts on each rank alone",
        effect=OF_RANKS,
        scope="",
        trace=(place.as_step("the count over all ranks is turned off"),),
        fix=fix[0],
        fix_refusal=fix[1],
    )
