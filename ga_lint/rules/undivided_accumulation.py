"""GA102: see rules/GA102-undivided-accumulation.md."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import LOOP_WORDS, Answer, FileFacts, Idiom, Level, Place, Raggedness, Window
from ga_lint.project import Project
from ga_lint.rules._beside import others_of, unlike_in_number
from ga_lint.rules._fixes import is_unknown_backward, length_fix, window_fix
from ga_lint.rules._loops import Loss, confidence, is_plain, losses, steps_text, times_too_large, trace
from ga_lint.rules._overrides import inside
from ga_lint.rules._requests import Targets
from ga_lint.rules.registry import rule


@rule(
    "GA102",
    "undivided-accumulation",
    "means are added up over the window and nobody divides",
    severity=Severity.ERROR,
    needles=LOOP_WORDS,
)
def undivided_accumulation(facts: FileFacts, project: Project) -> Iterator[Finding]:
    divided = {loss.window.backward for loss in losses(facts) if loss.by_user}
    reported: set[Place] = set()
    for loss in losses(facts):
        window = loss.window
        if window.caller in reported or window.backward in divided or not loss.is_mean or loss.divisions != 0:
            continue
        if window.divided_after is not None or window.cleared is not None:
            continue  # GA110, GA109
        if window.library.answer is not Answer.NO or window.rescaled or not is_plain(loss):
            continue
        if window.idiom is Idiom.ENGINE and window.library.steps_value == 1:
            continue  # an engine that steps each time
        reported.add(window.caller)
        yield _finding(loss, facts.raggedness_of(loss.term.site))


def _fix(loss: Loss, ragged: Raggedness) -> FixRequest | None:
    """The share of the window where the counts differ and it applies; otherwise the steps, which heal the scale."""
    scale = _by_steps(loss)
    if ragged.answer is Answer.YES and loss.term.site.level is Level.TOKEN:
        fix, _ = window_fix(loss)
        if fix is not None:
            return replace(fix, otherwise=scale)
    return scale


def _by_steps(loss: Loss) -> FixRequest | None:
    window = loss.window
    if not window.steps or window.caller != window.backward or not _means_the_same(window):
        return None
    if _may_divide(window) or unlike_in_number(loss) is not None:
        return None
    if window.at_end or window.stepped_behind:
        fix, _ = length_fix(loss, None)
        if fix is not None:
            return fix
    targets: Targets = [("backward", window.backward.span)]
    targets += [target for target in others_of(loss) if target[0] == "backward"]
    return FixRequest(
        "divide-by-steps",
        FixTier.UNSAFE,
        f"divide the loss by `{window.steps}` before backward",
        targets=tuple(targets),
        options=(("steps", window.steps),),
    )


def _may_divide(window: Window) -> bool:
    """Does a stranger run backward and step? It may divide by the steps itself, as DeepSpeed's engine does."""
    return window.steps_by_engine and is_unknown_backward(window)


def _means_the_same(window: Window) -> bool:
    """Do the steps mean in front of backward what they mean to the gate, and are they a number?"""
    if window.idiom is Idiom.INNER_LOOP and (not window.traced_steps or window.steps.startswith("range(")):
        return False  # only what is iterated over is known
    gate, function = window.gate, window.function
    return gate is None or function is None or inside(gate, function)


def _refusal(window: Window) -> str:
    if _may_divide(window):
        return f"what `{window.driver}.backward` divides by is not known"
    return "the number of micro-batches is not written down in the loop"


def _finding(loss: Loss, ragged: Raggedness) -> Finding:
    window = loss.window
    # timid: an inner loop that is only known by its name may run over parts that are meant to be summed
    known = Confidence.LIKELY if window.idiom is Idiom.INNER_LOOP else Confidence.CERTAIN
    fix = _fix(loss, ragged)
    return Finding(
        code="GA102",
        name="undivided-accumulation",
        severity=Severity.ERROR,
        confidence=confidence(loss, known),
        message=f"the means of {steps_text(window)} micro-batches are added up and nobody divides by their number",
        span=window.caller.span,
        label="added to the gradients undivided",
        effect=Effect(
            EffectKind.SCALE,
            f"gradients are {times_too_large(window)}",
            "GAS",
            window.steps_value,
            mean_of_means=True,
        ),
        scope=window.scope,
        trace=trace(loss),
        fix=fix,
        fix_refusal=None if fix else _refusal(window),
    )
