"""GA203: see rules/GA203-unforwarded-num-items.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, FixRequest, FixTier, Severity, Step
from ga_lint.facts.model import FileFacts, Override, SuperCall
from ga_lint.project import Project
from ga_lint.rules._overrides import dropped_calls, receives_count, trusts_count
from ga_lint.rules.registry import rule


@rule(
    "GA203",
    "unforwarded-num-items",
    "an override takes the count and does not hand it on to super()",
    severity=Severity.ERROR,
    needles=(b"def compute_loss", b"def training_step"),
)
def unforwarded_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if receives_count(override) and trusts_count(override):
            for call in dropped_calls(override):
                yield _finding(override, call)


def _finding(override: Override, call: SuperCall) -> Finding:
    return Finding(
        code="GA203",
        name="unforwarded-num-items",
        severity=Severity.ERROR,
        confidence=override.confidence,
        message=f"`super().{call.method}` is called without the count, so it returns a mean that nobody divides",
        span=call.place.span,
        label="the count is dropped here",
        effect=Effect(EffectKind.SCALE, "gradients are as many times too large as there are accumulation steps", "GAS"),
        scope=override.scope,
        trace=(
            Step(
                f"{override.cls} reaches {override.base}; the count arrives here",
                override.name.path,
                override.name.span,
            ),
            Step("and is not handed on here", call.place.path, call.place.span),
        ),
        fix=FixRequest("forward-count", FixTier.SAFE, "forward the count", (("call", call.place.span),)),
    )
