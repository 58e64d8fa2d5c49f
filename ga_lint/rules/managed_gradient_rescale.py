"""GA107: see rules/GA107-managed-gradient-rescale.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.facts.model import LOOP_WORDS, FactorKind, FileFacts, Place, Scaling, Stack, Window
from ga_lint.project import Project
from ga_lint.rules.registry import rule


@rule(
    "GA107",
    "managed-gradient-rescale",
    "gradients are scaled by hand although the stack may own them",
    severity=Severity.ERROR,
    needles=LOOP_WORDS,
)
def managed_gradient_rescale(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    for window in facts.windows:
        if window.stack not in (Stack.ACCELERATE, Stack.DEEPSPEED):
            continue
        for scaling in window.scalings:
            inside = scaling.loop is None or window.loop.span.contains(scaling.place.span)
            if inside and scaling.place not in reported and scaling.place.path == facts.path:
                reported.add(scaling.place)
                yield _finding(window, scaling)


def _finding(window: Window, scaling: Scaling) -> Finding:
    local = next((f for f in scaling.factors if f.kind in (FactorKind.LOCAL_COUNT, FactorKind.WINDOW_COUNT)), None)
    if window.stack is Stack.DEEPSPEED:
        known, why = Confidence.CERTAIN, "the DeepSpeed engine has partitioned or taken the gradients away by then"
    elif local is not None:
        known = Confidence.LIKELY
        why = f"`{local.text}` differs from rank to rank, after the gradients were averaged over ranks"
    elif window.mentions_deepspeed:
        known, why = Confidence.LIKELY, "under DeepSpeed the gradients are partitioned or gone by then"
    else:
        known, why = Confidence.POSSIBLE, "under DeepSpeed the gradients would be partitioned or gone by then"
    factors = " * ".join(f.text for f in scaling.factors if f.power > 0) or "1"
    scale = " / ".join([factors, *(f.text for f in scaling.factors if f.power < 0)])
    return Finding(
        code="GA107",
        name="managed-gradient-rescale",
        severity=Severity.ERROR,
        confidence=known,
        message=f"gradients are scaled by `{scale}` after `{window.driver}.backward`: {why}",
        span=scaling.place.span,
        label="scaled here",
        effect=Effect(EffectKind.SCALE, "the scaling is skipped in silence, or the ranks drift apart", on_ranks=True),
        scope=window.scope,
        trace=(
            window.backward.as_step("gradients are added up here"),
            scaling.place.as_step("scaled here"),
            window.optimizer_step.as_step("stepped here"),
        ),
        fix_refusal="the factor belongs on the loss, before backward, where the window's count is not known yet",
    )
