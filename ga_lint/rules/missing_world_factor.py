"""GA105: see rules/GA105-missing-world-factor.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import Answer, Factor, FactorKind, FileFacts, Idiom, Place, Reduction, Stack
from ga_lint.project import Project
from ga_lint.rules._loops import (
    AVERAGING,
    IN_VAIN,
    WINDOW_COUNTS,
    Loss,
    confidence,
    in_loop,
    is_steps,
    losses,
    rank_confidence,
    trace,
)
from ga_lint.rules._requests import ADDED, Fix
from ga_lint.rules.registry import rule

# A divisor that says it was counted over all ranks, where the counting itself is not in sight.
_GLOBAL_NAME = re.compile(r"(^|[._])(all|global|world)_?(num|n_|tok|seq|item|target|count|valid)\w*$", re.IGNORECASE)


@rule(
    "GA105",
    "missing-world-factor",
    "the loss is divided by a count of the whole window, but not multiplied by what the stack divides by",
    severity=Severity.ERROR,
    needles=(b"backward(", b"zero_grad("),
)
def missing_world_factor(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    for loss in losses(facts):
        factors = _factors(loss)
        count = _count(loss, factors)
        if loss.window.stack not in AVERAGING or count is None or loss.term.site.counted:
            continue
        missing = _missing(loss, count, factors)
        if missing and count.place not in reported:
            reported.add(count.place)
            yield _finding(loss, count, missing)


def _factors(loss: Loss) -> tuple[Factor, ...]:
    """Those of the loss, and those of its gradients where no library may own them; none where one may: see GA107."""
    if not loss.window.rescaled:
        return loss.term.factors
    if loss.window.stack not in (Stack.DDP, Stack.FSDP):
        return ()
    return (*loss.term.factors, *(factor for scaling in loss.window.scalings for factor in scaling.factors))


def _count(loss: Loss, factors: tuple[Factor, ...]) -> Factor | None:
    """The count of the window that divides the loss, by its value or, over all ranks, by its name."""
    site = loss.term.site
    for factor in factors:
        if factor.power > 0 or is_steps(factor, loss.window):
            continue
        if factor.kind in WINDOW_COUNTS and site.reduction is Reduction.SUM:
            return factor
        if factor.kind is FactorKind.OTHER and _GLOBAL_NAME.search(factor.text):
            return factor
    return None


def _missing(loss: Loss, count: Factor, factors: tuple[Factor, ...]) -> list[str]:
    """What the loss should have been multiplied by: the number of ranks, the steps, or both."""
    missing = []
    is_global = count.kind is not FactorKind.WINDOW_COUNT
    ranks = sum(f.power for f in factors if f.kind is FactorKind.WORLD)
    if is_global and not loss.window.sets_reduction and ranks <= 0:
        missing.append("ranks")
    divides = loss.window.library.answer is Answer.YES and loss.window.idiom is not Idiom.ENGINE
    if divides and not loss.by_user and loss.multiplied < 1 and count.kind in WINDOW_COUNTS:
        missing.append("steps")
    return missing


def _finding(loss: Loss, count: Factor, missing: list[str]) -> Finding:
    window = loss.window
    who = {
        "ranks": f"{window.stack.value} averages the gradients over ranks",
        "steps": f"{window.library.by} divides by the steps",
    }
    what = {"ranks": "the number of ranks", "steps": "the accumulation steps"}
    factor = {("ranks",): "1/N", ("steps",): "1/GAS", ("ranks", "steps"): "1/(GAS*N)"}[tuple(missing)]
    known = Confidence.CERTAIN if count.kind in WINDOW_COUNTS else Confidence.LIKELY
    fix, refusal = _fix(loss, missing)
    return Finding(
        code="GA105",
        name="missing-world-factor",
        severity=Severity.ERROR,
        confidence=confidence(loss, rank_confidence(window) if "ranks" in missing else Confidence.CERTAIN, known),
        message=f"the loss is divided by `{count.text}`, a count of the whole window, and "
        f"{' and '.join(who[one] for one in missing)}: it has to be multiplied by "
        f"{' and '.join(what[one] for one in missing)}",
        span=loss.pointed_at(count.place).span,
        label="divided by the whole count",
        effect=Effect(EffectKind.SCALE, f"gradients are scaled by {factor}", factor, on_ranks="ranks" in missing),
        scope=window.scope,
        trace=trace(loss, loss.elsewhere(count)),
        fix=fix,
        fix_refusal=refusal,
    )


def _fix(loss: Loss, missing: list[str]) -> Fix:
    """Multiply what backward receives, or why not."""
    window = loss.window
    if window.rescaled:
        return None, "the gradients are scaled by hand after backward: the factor belongs there"
    if window.backward.path != window.loop.path:
        return None, "backward runs in another function than the loop"
    if window.added_up or any(len(terms) > 1 for terms in window.losses):
        return None, "the loss has several terms, and each needs a factor of its own"
    if window.idiom is Idiom.ACCUMULATE:
        return None, "accumulate() sees the loader's end before the last window, which is drawn ahead, has run"
    if loss.is_multiplied_in_vain:
        return None, IN_VAIN
    driver = window.driver
    ranks = {Stack.ACCELERATE: f"{driver}.num_processes", Stack.FABRIC: f"{driver}.world_size"}
    options = (
        ("ranks", ranks.get(window.stack, "torch.distributed") if "ranks" in missing else ""),
        ("steps", f"{driver}.gradient_accumulation_steps" if "steps" in missing else ""),
    )
    if "steps" in missing and window.stack is not Stack.ACCELERATE:
        return None, "what the steps of the stack are called here is not known"
    if any(not in_loop(place, window) for place in window.added):
        return None, ADDED
    added = (("added", place.span) for place in window.added)
    targets = (("loop", window.loop.span), ("backward", window.backward.span), *added)
    summary = "multiply the loss by what the stack divides it by"
    return FixRequest("times-ranks", FixTier.UNSAFE, summary, targets, options), None
