"""GA402: see rules/GA402-smoothed-loss.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Finding, Severity
from ga_lint.facts.model import Answer, Argument, Arguments, FileFacts
from ga_lint.knowledge.trainer_law import Form, Site, Usage, outcome
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._environment import requirement_step
from ga_lint.rules.registry import rule

_SMOOTHED = Usage(Site.SMOOTHER, Form.COUNT, ranks=False)


@rule(
    "GA402",
    "smoothed-loss",
    "label smoothing ignores the count in every release of transformers that the project admits",
    severity=Severity.ERROR,
    needles=(b"label_smoothing_factor",),
)
def smoothed_loss(facts: FileFacts, project: Project) -> Iterator[Finding]:
    for one in facts.arguments:
        smoothing = one.smoothing
        if smoothing is None or smoothing.value == 0 or one.accumulates is Answer.NO or project.pins.rows == ():
            continue
        if all(outcome(_SMOOTHED, row).steps > 0 for row in project.releases):
            yield _finding(facts, one, smoothing, project)


def _finding(facts: FileFacts, one: Arguments, smoothing: Argument, project: Project) -> Finding:
    literal = one.accumulates is Answer.YES and smoothing.value is not None
    return Finding(
        code="GA402",
        name="smoothed-loss",
        severity=Severity.ERROR,
        confidence=Confidence.LIKELY if literal else Confidence.POSSIBLE,  # not models that take no **kwargs
        message=f"label smoothing takes the mean and drops the count in transformers {project.release.span}",
        span=smoothing.place.span,
        label="smoothed over a mean that nobody divides",
        effect=effect_of(_SMOOTHED, facts, project),
        scope="",
        trace=(
            *requirement_step(project, "transformers", smoothing.place),
            smoothing.place.as_step(f"labels are smoothed by {smoothing.text}"),
        ),
        fix_refusal="require transformers>=5.15, or smooth in a compute_loss_func that divides by the count",
    )
