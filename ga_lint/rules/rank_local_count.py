"""GA104: see rules/GA104-rank-local-count.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, EffectKind, Finding, FixRequest, FixTier, Severity, Step
from ga_lint.facts.model import Factor, FactorKind, FileFacts, Idiom, Place, Reduction, Stack
from ga_lint.project import Project
from ga_lint.rules._loops import AVERAGING, IN_VAIN, Loss, confidence, in_loop, losses, rank_confidence, trace
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule

_TWO_PLACES = (
    "the count has to be summed over ranks and the loss multiplied by their number: "
    "two places, and which process group is meant is not known"
)


@rule(
    "GA104",
    "rank-local-count",
    "the loss is divided by a count of this rank's targets alone, and gradients are averaged over ranks",
    severity=Severity.WARNING,
    needles=(b"backward(", b"zero_grad("),
)
def rank_local_count(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    for loss in losses(facts):
        ragged = facts.raggedness_of(loss.term.site)
        if loss.window.stack not in AVERAGING or loss.term.site.reduction is not Reduction.SUM:
            continue
        count = _local_count(loss)
        if count is None or count.place in reported:
            continue
        reported.add(count.place)
        yield _finding(loss, count, trace(loss, (*ragged.evidence, *loss.elsewhere(count))))


def _local_count(loss: Loss) -> Factor | None:
    """The divisor that no collective has summed: of the loss, or of the gradients of a plain or wrapped model."""
    divisors = [f for f in loss.term.factors if f.kind is FactorKind.WINDOW_COUNT and f.power < 0]
    if loss.window.stack in (Stack.DDP, Stack.FSDP):  # GA107 judges gradients that a library may own
        divisors += [
            f for s in loss.window.scalings for f in s.factors if f.kind is FactorKind.WINDOW_COUNT and f.power < 0
        ]
    return divisors[0] if divisors else None


def _finding(loss: Loss, count: Factor, steps: tuple[Step, ...]) -> Finding:
    fix, refusal = _fix(loss, count)
    return Finding(
        code="GA104",
        name="rank-local-count",
        severity=Severity.WARNING,
        confidence=confidence(loss, rank_confidence(loss.window)),
        message=f"`{count.text}` counts this rank's targets alone, and {loss.window.stack.value} averages the "
        "gradients over ranks that can hold different numbers of them",
        span=loss.pointed_at(count.place).span,
        label="counted on this rank alone",
        effect=Effect(
            EffectKind.WEIGHTS,
            "tokens on ranks with few targets weigh more than those on ranks with many",
            on_ranks=True,
        ),
        scope=loss.window.scope,
        trace=steps,
        fix=fix,
        fix_refusal=refusal,
    )


def _fix(loss: Loss, count: Factor) -> Fix:
    """The ranks' counts in place of this rank's, where the loss itself is divided in the loop."""
    window = loss.window
    if loss.is_multiplied_in_vain:
        return None, IN_VAIN
    if not in_loop(count.place, window) or count not in loss.term.factors or window.idiom is Idiom.ACCUMULATE:
        # accumulate() sees the loader's end before the last window, which is drawn ahead, has run
        return None, _TWO_PLACES
    targets = (("loop", window.loop.span), ("division", count.place.span))
    multiplied = loss.term.power_of(FactorKind.WORLD) > 0
    summary = "divide by the sum of the ranks' counts" if multiplied else "divide by the mean of the ranks' counts"
    options = (("multiplied", "yes"),) if multiplied else ()
    return FixRequest("count-over-ranks", FixTier.UNSAFE, summary, targets, options), None
