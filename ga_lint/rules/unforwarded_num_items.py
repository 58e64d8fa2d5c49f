"""GA203: see rules/GA203-unforwarded-num-items.md."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import (
    LOSS_OVERRIDE_WORDS,
    STEP_OVERRIDE_WORDS,
    UNKNOWN_BASE,
    FileFacts,
    Override,
    Place,
    SuperCall,
)
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import MEAN_OF_MEANS, effect_of
from ga_lint.rules._override_fixes import forward_fix
from ga_lint.rules._overrides import (
    MEAN_FIRST,
    divided_means,
    dropped_calls,
    receives_count,
    returns_mean_anyhow,
    trusts_count,
)
from ga_lint.rules._step_fixes import divided_step_fix
from ga_lint.rules.registry import rule


@rule(
    "GA203",
    "unforwarded-num-items",
    "an override takes the count and does not hand it on to super()",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *STEP_OVERRIDE_WORDS),
)
def unforwarded_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if receives_count(override) and trusts_count(override):
            for call in dropped_calls(override):
                fix, refusal = forward_fix(override, call, project)
                if call.method == "training_step" and returns_mean_anyhow(facts, override.cls):
                    fix, refusal = None, MEAN_FIRST
                finding = _finding(override, f"super().{call.method}", call.place, _effect(call, facts, project))
                yield replace(finding, fix=fix, fix_refusal=refusal)
            for place, terms in divided_means(override).items():
                fix, refusal = divided_step_fix(override, terms, project)
                finding = _finding(override, "self.compute_loss", place, MEAN_OF_MEANS)
                yield replace(finding, fix=fix, fix_refusal=refusal)


def _effect(call: SuperCall, facts: FileFacts, project: Project) -> Effect:
    """What super() does without the count: compute_loss returns a mean that nobody divides, training_step divides."""
    if call.method == "training_step":
        return MEAN_OF_MEANS
    return effect_of(Usage(Site.SUPER_WITHOUT_COUNT, Form.COUNT), facts, project)


def _finding(override: Override, callee: str, place: Place, effect: Effect) -> Finding:
    consequence = "a mean of means" if effect.kind is EffectKind.WEIGHTS else "a mean that nobody divides"
    return Finding(
        code="GA203",
        name="unforwarded-num-items",
        severity=Severity.ERROR,
        # A base that is only known at run time may be another override, one that needs no count.
        confidence=Confidence.POSSIBLE if override.base == UNKNOWN_BASE else override.confidence,
        message=f"`{callee}` is called without the count, so what comes of it is {consequence}",
        span=place.span,
        label="the count is dropped here",
        effect=effect,
        scope=override.scope,
        trace=(
            override.name.as_step(f"{override.cls} reaches {override.base}; the count arrives here"),
            place.as_step("and is not handed on here"),
        ),
    )
