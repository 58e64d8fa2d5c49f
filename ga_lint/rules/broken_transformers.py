"""GA401: see rules/GA401-broken-transformers.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import SETUP_WORDS, Answer, Argument, Arguments, FileFacts
from ga_lint.knowledge.releases import FaultyFor, ReleaseRow
from ga_lint.project import Project
from ga_lint.rules._environment import requirement_step
from ga_lint.rules.registry import rule

_HITS = {
    FaultyFor.EVERYBODY: Confidence.CERTAIN,
    FaultyFor.ACCEPTING_MODELS: Confidence.LIKELY,  # causal models of transformers are
    FaultyFor.OTHER_MODELS: Confidence.POSSIBLE,
    FaultyFor.TOKEN_LOSSES: Confidence.POSSIBLE,
}


@rule(
    "GA401",
    "broken-transformers",
    "every release of transformers that the project admits divides the loss wrongly by itself",
    severity=Severity.ERROR,
    needles=SETUP_WORDS,
)
def broken_transformers(facts: FileFacts, project: Project) -> Iterator[Finding]:
    accumulating = [one for one in facts.arguments if one.accumulates is not Answer.NO]
    if accumulating and all(row.fault for row in project.releases):
        for one in accumulating:
            if one.steps is not None:
                yield _finding(facts, one, one.steps, project.release, project)


def _confidence(facts: FileFacts, one: Arguments, row: ReleaseRow, project: Project) -> Confidence:
    """Whom the fault hits, whether that is this project, and whether it accumulates."""
    heads = {setup.head for setup in facts.setups if setup.arguments and setup.arguments.place == one.place}
    tokens = any(head and project.knowledge.head_level(head) == "token" for head in heads)
    known = _HITS.get(row.faulty_for, Confidence.POSSIBLE) if row.faulty_for else Confidence.POSSIBLE
    if row.faulty_for is FaultyFor.TOKEN_LOSSES and tokens:
        known = Confidence.LIKELY
    return known if one.accumulates is Answer.YES else Confidence.POSSIBLE


def _finding(facts: FileFacts, one: Arguments, steps: Argument, row: ReleaseRow, project: Project) -> Finding:
    fault = (row.fault or "").rstrip(".")
    weights = row.faulty_for is FaultyFor.TOKEN_LOSSES
    kind = EffectKind.WEIGHTS if weights else EffectKind.SCALE
    return Finding(
        code="GA401",
        name="broken-transformers",
        severity=Severity.WARNING if weights else Severity.ERROR,
        confidence=_confidence(facts, one, row, project),
        message=f"transformers {row.span} is wrong by itself where gradients are accumulated",
        span=steps.place.span,
        label="accumulates",
        effect=Effect(kind, fault[:1].lower() + fault[1:], mean_of_means=weights),
        scope="",
        trace=(
            *requirement_step(project, "transformers", steps.place),
            steps.place.as_step(f"accumulates over {steps.text} micro-batches"),
        ),
        fix_refusal=f"require transformers{row.fixed_in}",
    )
