"""GA103: see rules/GA103-double-division.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import LOOP_WORDS, Answer, Factor, FileFacts, Idiom, Place, Reduction
from ga_lint.project import Project
from ga_lint.rules._loops import Loss, confidence, is_plain, losses, steps_text, trace
from ga_lint.rules.registry import rule


@rule(
    "GA103",
    "double-division",
    "the loss is divided by the accumulation steps twice",
    severity=Severity.ERROR,
    needles=LOOP_WORDS,
)
def double_division(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    needed = _needed(facts)
    for loss in losses(facts):
        if not loss.by_user or loss.place in reported or not _divided_again(loss):
            continue
        if loss.window.gates_engine and loss.window.idiom is Idiom.GATE:
            continue  # GA109: the engine counts the gate's steps, not backwards; what is owed follows from its cure
        reported.add(loss.place)
        yield _finding(loss, loss.by_user[-1], needed)


def _needed(facts: FileFacts) -> set[Place]:
    """Divisions on which another backward depends, whose loss nobody else divides."""
    twice = {(one.window.backward, f.place) for one in losses(facts) if _divided_again(one) for f in one.by_user}
    needed = {place for window in facts.windows for place in window.shared}
    for window in facts.windows:
        places = {f.place for terms in window.losses for term in terms for f in term.factors if f.power < 0}
        needed |= {place for place in places if (window.backward, place) not in twice}
    return needed


def _divided_again(loss: Loss) -> bool:
    if loss.is_counted:  # the window's count has normalised it already; only the stack's own division is owed
        return loss.divisions > 0
    return (loss.is_mean or is_of_unknown_reduction(loss)) and loss.divisions >= 2


def is_of_unknown_reduction(loss: Loss) -> bool:
    """A criterion that is only known by its name: whatever it returns, the steps divide it once too often."""
    return loss.term.site.reduction is Reduction.UNKNOWN and is_plain(loss)


def _finding(loss: Loss, second: Factor, needed: set[Place]) -> Finding:
    window = loss.window
    steps = steps_text(window)
    if window.library.answer is Answer.YES:
        other = f"{window.library.by} divides again"
    elif loss.is_counted:
        other = "its division by the window's count was all that is owed"
    else:
        other = "it was divided before"
    shared = second.place in needed
    times = "as many times too small as there are micro-batches" if steps == "several" else f"{steps} times too small"
    return Finding(
        code="GA103",
        name="double-division",
        severity=Severity.ERROR,
        confidence=max(confidence(loss), Confidence.LIKELY),  # whatever a criterion of that name returns
        message=f"the loss is divided by `{second.text}`, and {other}",
        span=loss.place.span,
        label="divided a second time" if window.library.answer is not Answer.YES else "divided by hand",
        effect=Effect(
            EffectKind.SCALE,
            f"gradients are {times}",
            "1/GAS",
            1 / window.steps_value if window.steps_value else None,
        ),
        scope=window.scope,
        trace=trace(loss),
        fix=None if shared else _fix(second),
        fix_refusal="another backward is handed the same loss, and may need this division" if shared else None,
    )


def _fix(second: Factor) -> FixRequest:
    target = ("division", second.place.span)
    return FixRequest("drop-division", FixTier.SAFE, "drop the division by hand", targets=(target,))
