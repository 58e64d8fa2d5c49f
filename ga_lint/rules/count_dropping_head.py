"""GA217: see rules/GA217-count-dropping-head.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import Answer, FileFacts, TrainerSetup
from ga_lint.knowledge import head_drops_count
from ga_lint.knowledge.model import HeadRange
from ga_lint.knowledge.trainer_law import Form, Site, Usage, outcome
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule

_AS_IT_IS = Usage(Site.MODEL, Form.MEAN, ranks=True)
_DECLINED = Usage(Site.MODEL, Form.MEAN, accepted=False)
_NEARLY_ALL = 0.9  # of an automatic class's heads: the model that is loaded is hardly one of the others


@rule(
    "GA217",
    "count-dropping-head",
    "a stock head that drops the count is trained with accumulation",
    severity=Severity.ERROR,
    needles=(b"Trainer(",),
)
def count_dropping_head(facts: FileFacts, project: Project) -> Iterator[Finding]:
    for setup in facts.setups:
        if setup.head is None or setup.own_loss or setup.opted_out:
            continue
        if setup.arguments is not None and setup.arguments.accumulates is Answer.NO:
            continue
        head = head_drops_count(setup.head, project.pins.newest)
        if head is not None and outcome(_AS_IT_IS, project.release).steps > 0:
            yield _finding(setup, head, project, effect_of(_AS_IT_IS, facts, project))


def _confidence(setup: TrainerSetup, head: HeadRange) -> Confidence:
    accumulates = setup.arguments is not None and setup.arguments.accumulates is Answer.YES
    return Confidence.LIKELY if accumulates and head.dropping >= _NEARLY_ALL * head.heads else Confidence.POSSIBLE


def _fix(setup: TrainerSetup, project: Project) -> Fix:
    """Decline the count, where the release then divides by the steps, once."""
    if outcome(_DECLINED, project.release).steps or not project.release.accepts_attribute:
        return None, f"transformers {project.release.span} does something else with a model that declines the count"
    if setup.model is None:
        return None, "the model has no name before the Trainer is built"
    summary = "let the Trainer divide: model.accepts_loss_kwargs = False"
    return FixRequest("decline-count", FixTier.SAFE, summary, (("model", setup.model.span),)), None


def _finding(setup: TrainerSetup, head: HeadRange, project: Project, effect: Effect) -> Finding:
    fix, refusal = _fix(setup, project)
    share = f" ({head.dropping} of the {head.heads} heads that it may build)" if head.heads > 1 else ""
    steps = setup.arguments.steps if setup.arguments else None
    many = f"accumulates over {steps.text} micro-batches" if steps else ""
    return Finding(
        code="GA217",
        name="count-dropping-head",
        severity=Severity.ERROR,
        confidence=_confidence(setup, head),
        message=f"{head.name}{share} drops the count that the Trainer passes, and nobody divides by the steps",
        span=setup.place.span,
        label="trains a head that drops the count",
        effect=effect,
        scope=setup.scope,
        trace=(
            *([steps.place.as_step(many)] if steps else []),
            setup.place.as_step(f"{setup.trainer} trains {head.name}"),
        ),
        fix=fix,
        fix_refusal=refusal,
    )
