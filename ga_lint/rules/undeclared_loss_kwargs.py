"""GA208: see rules/GA208-undeclared-loss-kwargs.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, Finding, Severity
from ga_lint.facts.model import FORWARD_WORDS, FileFacts, Level, LossTerm, ModelForward, Place
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._forwards import count_fix, means_of, says, trace_of
from ga_lint.rules._overrides import other_targets
from ga_lint.rules.registry import rule

_OTHER_FORM = "the loss has another form than one cross-entropy that is reduced in this forward"


@rule(
    "GA208",
    "undeclared-loss-kwargs",
    "a model's forward computes a token mean and takes no **kwargs, so the Trainer passes it no count",
    severity=Severity.WARNING,
    needles=FORWARD_WORDS,
)
def undeclared_loss_kwargs(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for forward in facts.forwards:
        unseen = forward.parameter.keywords is None and not says(forward, True)
        if (not unseen and not says(forward, False)) or forward.level is Level.SAMPLE:
            continue
        means = [(place, term) for place, term in means_of(forward) if term.site.level is Level.TOKEN]
        if means:
            effect = effect_of(Usage(Site.MODEL, Form.MEAN, accepted=False), facts, project)
            yield _finding(forward, means, effect, unseen=unseen)


def _finding(forward: ModelForward, means: list[tuple[Place, LossTerm]], effect: Effect, *, unseen: bool) -> Finding:
    place, term = means[0]
    fix = count_fix(forward, [one for _, one in means], add_keywords=True) if unseen else None
    confidence = min(Confidence.LIKELY, forward.confidence, term.site.confidence)
    why = "takes no **kwargs" if unseen else "says accepts_loss_kwargs = False"
    return Finding(
        code="GA208",
        name="undeclared-loss-kwargs",
        severity=Severity.WARNING,
        confidence=Confidence.POSSIBLE if says(forward, False) else confidence,
        message=f"`{forward.cls}` {why}, so the Trainer passes no count and averages the means of its micro-batches",
        span=place.span,
        label="reduced to a mean here",
        effect=effect,
        scope=forward.scope,
        trace=trace_of(forward, term, why),
        fix=fix,
        fix_refusal=None if fix else other_targets(term.site) or _OTHER_FORM,
    )
