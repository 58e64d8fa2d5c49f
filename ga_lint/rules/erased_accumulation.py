"""GA109: see rules/GA109-erased-accumulation.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import LOOP_WORDS, Answer, FileFacts, Idiom, Place, Window
from ga_lint.project import Project
from ga_lint.rules._loops import in_loop
from ga_lint.rules.registry import rule


@rule(
    "GA109",
    "erased-accumulation",
    "what the micro-batches before the last one added to the gradients is lost",
    severity=Severity.ERROR,
    needles=LOOP_WORDS,
)
def erased_accumulation(facts: FileFacts, project: Project) -> Iterator[Finding]:
    reported: set[Place] = set()
    for window in facts.windows:
        if window.trivial or window.backward in reported or not _accumulates(window):
            continue
        if window.cleared is not None and window.cleared.path == facts.path:
            reported.add(window.backward)
            yield _cleared(window, window.cleared)
        elif window.gates_engine and window.backward.path == facts.path:
            reported.add(window.backward)
            yield _engine(window)


def _accumulates(window: Window) -> bool:
    """A gate, or an `accumulate()` that is not known to have one step."""
    managed = window.idiom is Idiom.ACCUMULATE and window.library.answer is Answer.YES
    return window.idiom is Idiom.GATE or managed


def _cleared(window: Window, place: Place) -> Finding:
    managed = window.idiom is Idiom.ACCUMULATE
    message = (
        "inside accumulate() gradients are cleared before the last backward of each window, and only there: "
        "nothing accumulates"
        if managed
        else "gradients are cleared on every micro-batch, but stepped on only at the window's end: nothing accumulates"
    )
    refusal = (
        "the clearing belongs behind the optimizer's step, and what else stands between the two is not known"
        if managed
        else "whether accumulation or a step on every micro-batch was meant is not known"
    )
    return Finding(
        code="GA109",
        name="erased-accumulation",
        severity=Severity.ERROR,
        confidence=Confidence.CERTAIN,
        message=message,
        span=place.span,
        label="let through on a window's last micro-batch" if managed else "cleared every time",
        effect=Effect(EffectKind.WEIGHTS, "only the last micro-batch of a window counts"),
        scope=window.scope,
        trace=(
            window.backward.as_step("gradients are computed here"),
            window.optimizer_step.as_step("stepped here, once for a window"),
        ),
        fix_refusal=refusal,
    )


def _engine(window: Window) -> Finding:
    fix = _told(window)
    return Finding(
        code="GA109",
        name="erased-accumulation",
        severity=Severity.ERROR,
        confidence=Confidence.LIKELY,
        message=f"`{window.driver}.step()` is called once for several `{window.driver}.backward(...)`, and the engine, "
        "which is not told where a window ends, takes each backward for the last one",
        span=window.backward.span,
        label="a window of its own for the engine",
        effect=Effect(EffectKind.WEIGHTS, "under ZeRO only the last micro-batch of a window counts"),
        scope=window.scope,
        trace=(
            window.backward.as_step("gradients are reduced and kept here"),
            window.optimizer_step.as_step("stepped here, once for a window"),
        ),
        fix=fix,
        fix_refusal=None
        if fix
        else "either the engine is told, by set_gradient_accumulation_boundary, or it steps every time",
    )


def _told(window: Window) -> FixRequest | None:
    """Tell the engine, where it is known to have no steps of its own and the gate stands in the loop."""
    gate = window.gate
    configured = window.library.answer is Answer.NO  # with 1, by a configuration in sight
    if not configured or gate is None or not in_loop(gate, window):
        return None
    if window.backward.path != window.loop.path:
        return None
    targets = (("backward", window.backward.span), ("gate", gate.span))
    summary = "tell the engine where the window ends"
    return FixRequest("set-boundary", FixTier.UNSAFE, summary, targets, (("engine", window.driver),))
