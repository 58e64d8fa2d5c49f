"""GA302: see rules/GA302-lightning-double-division.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import Answer, DeepSpeedTrainer, Factor, FactorKind, FileFacts, LightningStep, Place
from ga_lint.project import Project
from ga_lint.rules.registry import rule

_SETTING = "accumulate_grad_batches"


@rule(
    "GA302",
    "lightning-double-division",
    "the loss is divided by the accumulated batches once more than Lightning does",
    severity=Severity.ERROR,
    needles=(b"def training_step", b"accumulate_grad_batches"),
)
def lightning_double_division(facts: FileFacts, project: Project) -> Iterator[Finding]:
    seen: set[Place] = set()
    for step in facts.lightning_steps:
        if step.accumulation.answer is Answer.NO:
            continue
        for returned in step.returns:
            for term in returned.terms or ():
                for factor in term.factors:
                    if factor.power < 0 and _is_setting(factor, step) and factor.place not in seen:
                        seen.add(factor.place)
                        yield _by_hand(step, factor, returned.place)
    for trainer in facts.deepspeed_trainers:
        yield _by_engine(trainer)


def _is_setting(factor: Factor, step: LightningStep) -> bool:
    """Is the divisor the number of batches that Lightning accumulates?"""
    same = factor.value is not None and factor.value > 1 and factor.value == step.accumulation.steps_value
    return factor.kind is FactorKind.STEPS or _SETTING in factor.text or same


def _by_hand(step: LightningStep, factor: Factor, returned: Place) -> Finding:
    here = factor.place.path == returned.path
    # timid: a divisor with a name of its own may be another number than the Trainer's
    named = _SETTING in factor.text
    confidence = Confidence.CERTAIN if named else min(step.accumulation.confidence, Confidence.LIKELY)
    trace = [factor.place.as_step(f"divided by `{factor.text}`")]
    if step.accumulation.place is not None:
        place = step.accumulation.place
        trace.append(place.as_step("Lightning divides by it again"))
    return Finding(
        code="GA302",
        name="lightning-double-division",
        severity=Severity.ERROR,
        confidence=confidence,
        message=f"the loss is divided by `{factor.text}`, and Lightning divides what `training_step` returns again",
        span=(factor.place if here else returned).span,
        label="divided by hand",
        effect=_effect(step.accumulation.steps_value),
        scope=step.scope,
        trace=tuple(trace),
        fix=FixRequest(
            "drop-division",
            FixTier.SAFE,
            "drop the division by hand",
            targets=(("division", factor.place.span),),
        )
        if here
        else None,
        fix_refusal=None if here else "the division stands in a helper that others may call",
    )


def _by_engine(trainer: DeepSpeedTrainer) -> Finding:
    return Finding(
        code="GA302",
        name="lightning-double-division",
        severity=Severity.ERROR,
        confidence=Confidence.LIKELY,
        message="Lightning divides the loss by the accumulated batches, and hands their number to the DeepSpeed "
        "engine, which divides again",
        span=trainer.place.span,
        label="divides twice",
        effect=_effect(trainer.steps_value),
        scope="",
        trace=(trainer.place.as_step("set for both here"),),
        fix_refusal="the library divides twice: the loss has to be multiplied by the steps, or the strategy changed",
    )


def _effect(steps: float | None) -> Effect:
    times = "as many times too small as there are micro-batches" if steps is None else f"{steps:g} times too small"
    return Effect(EffectKind.SCALE, f"gradients are {times}", "1/GAS", 1 / steps if steps else None)
