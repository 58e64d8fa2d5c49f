"""GA403: see rules/GA403-deepspeed-ignores-scale.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Finding, Severity
from ga_lint.facts.model import SETUP_WORDS, Answer, Argument, Arguments, FileFacts
from ga_lint.knowledge.releases import EngineRow
from ga_lint.project import Project
from ga_lint.rules._effects import by_steps
from ga_lint.rules._environment import requirement_step
from ga_lint.rules.registry import rule


@rule(
    "GA403",
    "deepspeed-ignores-scale",
    "the project's DeepSpeed divides the Trainer's loss by the steps, although it is told not to",
    severity=Severity.ERROR,
    needles=SETUP_WORDS,
)
def deepspeed_ignores_scale(facts: FileFacts, project: Project) -> Iterator[Finding]:
    accumulating = [one for one in facts.arguments if one.accumulates is not Answer.NO]
    handed = [(one, one.deepspeed) for one in accumulating if one.deepspeed is not None]
    engine = project.engine if handed else None
    if engine is not None:
        for one, given in handed:
            yield _finding(facts, one, given, engine, project)


def _finding(facts: FileFacts, one: Arguments, given: Argument, engine: EngineRow, project: Project) -> Finding:
    return Finding(
        code="GA403",
        name="deepspeed-ignores-scale",
        severity=Severity.ERROR,
        confidence=Confidence.LIKELY if one.accumulates is Answer.YES else Confidence.POSSIBLE,
        message=f"DeepSpeed {engine.first} divides by the steps, although the Trainer has divided by the count",
        span=given.place.span,
        label="the engine divides the gradient of each output",
        effect=by_steps(-engine.divisions(outside=False), facts),
        scope="",
        trace=(
            *requirement_step(project, "deepspeed", given.place),
            given.place.as_step("handed to the engine"),
        ),
        fix_refusal=f"require deepspeed{engine.fixed_in}",
    )
