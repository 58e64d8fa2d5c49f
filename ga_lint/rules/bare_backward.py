"""GA219: see rules/GA219-bare-backward.md."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Finding, Severity
from ga_lint.facts.model import STEP_OVERRIDE_WORDS, FileFacts, LossTerm, Override, Place
from ga_lint.project import Project
from ga_lint.rules._effects import by_steps
from ga_lint.rules._overrides import is_undivided, plain_mean, receives_count
from ga_lint.rules._step_fixes import step_fix
from ga_lint.rules.registry import rule


@rule(
    "GA219",
    "bare-backward",
    "a training_step override runs backward on a mean that nobody divides by the steps",
    severity=Severity.ERROR,
    needles=STEP_OVERRIDE_WORDS,
)
def bare_backward(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if override.method != "training_step" or not receives_count(override):  # GA201: it does not get that far
            continue
        if override.asks_who_divides:  # as the Trainer does; what is wrong then is the loss: GA202, GA206
            continue
        if override.clears_by_itself:  # nothing is left of the micro-batches before
            continue
        seen: set[Place] = set()
        for backward in override.backwards:
            term = plain_mean(backward)
            named = term is not None or override.parameter.name is not None
            if is_undivided(override, backward) and named and backward.place not in seen:
                seen.add(backward.place)
                yield _finding(override, backward.place, term, facts, project)


def _finding(override: Override, place: Place, term: LossTerm | None, facts: FileFacts, project: Project) -> Finding:
    reduced = term.site.reduced if term else None
    fix, refusal = step_fix(override, place, term, project)
    what = "the mean of this micro-batch" if term else "the loss of this micro-batch, and nothing divides it"
    return Finding(
        code="GA219",
        name="bare-backward",
        severity=Severity.ERROR,
        confidence=min(override.confidence, term.site.confidence if term else Confidence.LIKELY),
        message=f"backward runs on {what}; the Trainer's own step would have divided it",
        span=place.span,
        label="not divided by the window",
        effect=replace(by_steps(1, facts), mean_of_means=term is not None),
        scope=override.scope,
        trace=(
            override.name.as_step(f"{override.cls} reaches {override.base}, whose training_step this replaces"),
            *([reduced.as_step("a mean over the micro-batch")] if reduced else []),
            place.as_step("handed to backward as it is"),
        ),
        fix=fix,
        fix_refusal=refusal,
    )
