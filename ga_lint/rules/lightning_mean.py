"""GA301: see rules/GA301-lightning-mean.md."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Finding, Severity, Step
from ga_lint.facts.model import Answer, FileFacts, Level, LightningStep, Place, Returned
from ga_lint.project import Project
from ga_lint.rules._effects import MEAN_OF_MEANS
from ga_lint.rules._lightning import lightning_fix
from ga_lint.rules._loops import is_plain_mean
from ga_lint.rules.registry import rule


@rule(
    "GA301",
    "lightning-mean",
    "training_step returns a token mean that Lightning averages over batches with different token counts",
    severity=Severity.WARNING,
    needles=(b"def training_step",),
)
def lightning_mean(facts: FileFacts, project: Project) -> Iterator[Finding]:
    best: dict[Place, Finding] = {}
    for step in facts.lightning_steps:
        if step.accumulation.answer is Answer.NO:
            continue
        for returned in step.returns:
            for term in returned.terms or ():
                ragged = facts.raggedness_of(term.site)
                if term.site.level is Level.SAMPLE or not is_plain_mean(term):
                    continue
                place = _place(facts, step, returned)
                level = Confidence.CERTAIN if term.site.level is Level.TOKEN else Confidence.POSSIBLE
                links = (term.site.confidence, ragged.confidence, level, step.accumulation.confidence)
                if place not in best or min(links) > best[place].confidence:
                    reduced = term.site.reduced.as_step("reduced to a mean here")
                    found = _finding(step, returned, place, min(links), (reduced, *ragged.evidence))
                    fix, refusal = lightning_fix(step, project)
                    best[place] = replace(found, fix=fix, fix_refusal=refusal)
    yield from best.values()


def _place(facts: FileFacts, step: LightningStep, returned: Returned) -> Place:
    """Where the averaging is decided, if that is in this file; else where the mean is returned."""
    setting = step.accumulation.place
    return setting if setting is not None and setting.path == facts.path else returned.place


def _finding(
    step: LightningStep, returned: Returned, place: Place, confidence: Confidence, evidence: tuple[Step, ...]
) -> Finding:
    accumulation = step.accumulation
    several = "several" if accumulation.steps_value is None else f"{accumulation.steps_value:g}"
    trace = [*evidence, returned.place.as_step("returned to Lightning here")]
    if accumulation.place is not None:
        text = f"divided by {accumulation.steps} here"
        trace.append(accumulation.place.as_step(text))
    return Finding(
        code="GA301",
        name="lightning-mean",
        severity=Severity.WARNING,
        confidence=confidence,
        message=f"Lightning averages the token means that `{step.scope}` returns over {several} batches "
        "that can hold different numbers of targets",
        span=place.span,
        label="averaged over so many batches" if place == accumulation.place else "the mean is returned here",
        effect=MEAN_OF_MEANS,
        scope=step.scope,
        trace=tuple(trace),
    )
