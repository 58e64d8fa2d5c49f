"""GA207: see rules/GA207-dropped-loss-kwargs.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import FORWARD_WORDS, HEADS_LOSS, FileFacts, LossTerm, ModelForward, Place
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._forwards import count_fix, means_of, says, trace_of
from ga_lint.rules.registry import rule


@rule(
    "GA207",
    "dropped-loss-kwargs",
    "a model's forward takes **kwargs, and its loss drops the count that comes in them",
    severity=Severity.ERROR,
    needles=FORWARD_WORDS,
)
def dropped_loss_kwargs(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for forward in facts.forwards:
        takes = forward.parameter.keywords is not None or says(forward, True)
        if takes and not says(forward, False):
            means = list(means_of(forward))
            if means:
                yield _finding(forward, means, facts, project)


def _finding(forward: ModelForward, means: list[tuple[Place, LossTerm]], facts: FileFacts, project: Project) -> Finding:
    place, term = means[0]
    return Finding(
        code="GA207",
        name="dropped-loss-kwargs",
        severity=Severity.ERROR,
        confidence=min(forward.confidence, term.site.confidence),
        message=f"`{forward.cls}` takes the count in its **kwargs and returns a mean that does not use it, "
        "so nobody divides by the steps",
        span=place.span,
        label="reduced to a mean here",
        effect=effect_of(Usage(Site.MODEL, Form.MEAN, ranks=True), facts, project),
        scope=forward.scope,
        trace=trace_of(forward, term, "takes **kwargs, so the Trainer passes the count and does not divide"),
        fix=_fix(forward, [one for _, one in means]),
    )


def _fix(forward: ModelForward, terms: list[LossTerm]) -> FixRequest:
    """Use the count where there is one cross-entropy, else let the class say that it does not."""
    if {term.site.callee for term in terms} == {HEADS_LOSS} and len(terms) == 1:
        call = ("call", terms[0].site.call.span)
        return FixRequest("forward-count", FixTier.UNSAFE, "hand the count on", (call,))
    counted = count_fix(forward, terms, add_keywords=False)
    if counted is not None:
        return counted
    summary = "let the Trainer divide: accepts_loss_kwargs = False"
    return FixRequest("opt-out-model", FixTier.UNSAFE, summary, (("method", forward.function.span),))
