"""GA215: see rules/GA215-replaced-after-count.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, STEP_OVERRIDE_WORDS, FileFacts, Override, Place
from ga_lint.project import Project
from ga_lint.rules._overrides import returned_terms, trusts_count
from ga_lint.rules.registry import rule


@rule(
    "GA215",
    "replaced-after-count",
    "the labels are replaced after the Trainer has counted them",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *STEP_OVERRIDE_WORDS, b"def _prepare_inputs"),
)
def replaced_after_count(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    reported: set[Place] = set()
    for override in facts.overrides:
        counted = (
            override.method == "_prepare_inputs"
            or any(call.forwards_count for call in override.super_calls)
            or any(term.uses_count for _, term in returned_terms(override))
        )
        if counted and trusts_count(override) and not override.counts_itself:
            for place in override.replaced:
                if place not in reported:
                    reported.add(place)
                    yield _finding(override, place)


def _finding(override: Override, place: Place) -> Finding:
    return Finding(
        code="GA215",
        name="replaced-after-count",
        severity=Severity.ERROR,
        confidence=min(override.confidence, Confidence.LIKELY),
        message="the labels are replaced here, but the count was taken from the batches as they were loaded",
        span=place.span,
        label="other targets than were counted",
        effect=Effect(EffectKind.SCALE, "gradients are scaled by the new number of targets over the old", "targets"),
        scope=override.scope,
        trace=(
            override.name.as_step("the count that arrives here is of the labels in the batch"),
            place.as_step("the labels are replaced"),
        ),
        fix_refusal="count the labels that are trained on: replace them in the collator, or override "
        "`get_batch_samples` and count there",
    )
