"""What do the loop rules share? How a loss of a window is divided, and where to point."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.model import (
    Answer,
    Factor,
    FactorKind,
    FileFacts,
    Idiom,
    Level,
    LossTerm,
    Place,
    Reduction,
    Stack,
    Window,
)

ADDS_UP = (FactorKind.STEPS, FactorKind.CONSTANT, FactorKind.CAP)  # a share of such a loss is its part
# A mean times one of these is a share of the window already: whatever it is called, it is not the steps.
_SHARE = re.compile(
    r"share|weight|frac|portion|token|count|num_items|valid|n_items|numel|\blen\(.*/|/.*batch_size", re.IGNORECASE
)
_COEFFICIENT = re.compile(r"loss_?weight$", re.IGNORECASE)  # of one term among several, where it is a number
_SETTING = re.compile(r"(?:[\d.]+ - )?(?:self\.)?(?:args|opts?|cfg|conf(?:ig)?|hparams|params)\.(?:\w+\.)*\w*weight")
_CAST = re.compile(r"(?:float|int|max)\((?:1, )?(.+?)(?:, 1)?\)")
STEPS_WORD = re.compile(r"(^|[._])steps$", re.IGNORECASE)
_WINDOW_NAME = re.compile(r"accum|micro|window|chunk|gas\b|grad|(^|[._])acc_(steps|iters?)$", re.IGNORECASE)


class Loss(Struct, frozen=True):
    """One term of the loss that goes into one backward of a window, and who divides it."""

    window: Window
    term: LossTerm
    by_user: tuple[Factor, ...]  # divisions by the accumulation steps
    multiplied: int  # multiplications by the accumulation steps
    beside: tuple[Loss, ...] = ()  # token means of other backwards or paths of the same window

    @property
    def divisions(self) -> int:
        """By how many times the steps the loss is divided, the stack's own division included."""
        window = self.window
        by_library = window.library.answer is Answer.YES or (
            window.idiom is Idiom.ACCUMULATE and window.library.answer is Answer.UNKNOWN
        )
        return len(self.by_user) - self.multiplied + by_library + self._scaled_after

    @property
    def is_multiplied_in_vain(self) -> bool:
        """Multiplied by the steps, by which nobody divides?"""
        return self.divisions < 0 and self.window.library.answer is not Answer.UNKNOWN

    @property
    def _scaled_after(self) -> int:
        """Divisions of the gradients by the steps, after backward."""
        window = self.window
        powers = {f.power for s in window.scalings for f in s.factors if is_steps(f, window)}
        return 1 if powers == {-1} else 0

    @property
    def is_mean(self) -> bool:
        """A mean over this micro-batch, not weighted by anything that could be its share."""
        return is_plain_mean(self.term)

    @property
    def is_counted(self) -> bool:
        """Divided by the window's count, here or by the callee."""
        return self.term.site.counted or any(f.kind in WINDOW_COUNTS and f.power < 0 for f in self.term.factors)

    @property
    def place(self) -> Place:
        """Where to point: the last division by the steps that stands in the loop's own file, else backward."""
        here = [f.place for f in self.by_user if f.place.path == self.window.loop.path]
        return here[-1] if here else self.window.caller

    def pointed_at(self, place: Place) -> Place:
        """The same for one division: that of a helper in another file is shown where this file's loop needs it."""
        return place if place.path == self.window.loop.path else self.window.caller

    def elsewhere(self, division: Factor) -> tuple[Step, ...]:
        """What a trace says of a division that cannot be pointed at."""
        here = division.place.path == self.window.loop.path
        return () if here else (division.place.as_step(f"divided by `{division.text}`"),)


WINDOW_COUNTS = (FactorKind.WINDOW_COUNT, FactorKind.GLOBAL_COUNT)
_COUNTS = (FactorKind.LOCAL_COUNT, FactorKind.RUNNING_COUNT, *WINDOW_COUNTS)
AVERAGING = (Stack.DDP, Stack.FSDP, Stack.ACCELERATE, Stack.DEEPSPEED, Stack.FABRIC)  # gradients, over the ranks
IN_VAIN = "the loss is multiplied by the steps, by which nobody divides it"


def is_plain_mean(term: LossTerm) -> bool:
    """A mean over one micro-batch, not weighted by anything that could be its share."""
    return (
        term.site.reduction is Reduction.MEAN
        and not term.site.counted
        and not any(factor.kind in _COUNTS or _is_share(factor) for factor in term.factors)
    )


def is_plain(loss: Loss) -> bool:
    """No divisor whose meaning is not known: it could be the steps under another name."""
    return not any(f.power < 0 and f.kind in (FactorKind.OTHER, FactorKind.CONSTANT) for f in loss.term.factors)


def losses(facts: FileFacts) -> Iterator[Loss]:
    """Every term of every loss that reaches a backward inside a window, each once."""
    found = list(_each_loss(facts))
    for loss in found:
        yield replace(loss, beside=tuple(one for one in found if one is not loss and _is_beside(one, loss)))


def _is_beside(other: Loss, loss: Loss) -> bool:
    """Is it added to the same gradients, as a mean that is weighed as this one is?"""
    one, window = other.window, loss.window
    same = (one.loop, one.gate, one.idiom) == (window.loop, window.gate, window.idiom)
    return same and other.is_mean and other.term.site.level is not Level.SAMPLE


def _each_loss(facts: FileFacts) -> Iterator[Loss]:
    for window in facts.windows:
        if window.trivial or not _is_window(window):
            continue
        if any(term.site.policy for terms in window.losses for term in terms):
            continue  # timid: how a policy's tokens are to be weighed is a choice of the method
        seen: list[LossTerm] = []
        for terms in window.losses:
            for term in terms:
                if term not in seen:
                    seen.append(term)
                    divided = tuple(f for f in term.factors if f.power < 0 and is_steps(f, window))
                    multiplied = sum(f.power > 0 and is_steps(f, window) for f in term.factors)
                    yield Loss(window, term, divided, multiplied)


def is_steps(factor: Factor, window: Window) -> bool:
    """Is this factor the number of micro-batches in the window?"""
    cast = _CAST.fullmatch(factor.text)
    said = cast.group(1) if cast else factor.text
    if (
        factor.kind is FactorKind.STEPS
        or STEPS_WORD.search(said)
        or any(said in (text, f"len({text})") for text in (window.steps, window.traced_steps, window.runs_over) if text)
    ):
        return True
    return factor.value is not None and factor.value > 1 and factor.value == window.steps_value


def _is_share(factor: Factor) -> bool:
    if _COEFFICIENT.search(factor.text) and (factor.value is not None or "." in factor.text):
        return False  # a number, or what the settings hold: the same for every micro-batch
    if _SETTING.fullmatch(factor.text):
        return False
    return factor.kind is FactorKind.OTHER and factor.power > 0 and bool(_SHARE.search(factor.text))


def _is_window(window: Window) -> bool:
    """An inner loop is a window when it says so; any other inner loop may be one over tasks or time."""
    if window.idiom is Idiom.INNER_LOOP:
        factors = [f for terms in window.losses for term in terms for f in term.factors]
        factors += [f for scaling in window.scalings for f in scaling.factors]
        divided = any(is_steps(f, window) or (f.kind in WINDOW_COUNTS and f.power < 0) for f in factors)
        return divided or any(_WINDOW_NAME.search(text) for text in (window.steps, window.runs_over))
    if window.idiom is Idiom.ACCUMULATE:
        return window.library.answer is not Answer.NO
    return True


def times_too_large(window: Window) -> str:
    """How much too large gradients are that nothing divides."""
    steps = steps_text(window)
    return "as many times too large as there are micro-batches" if steps == "several" else f"{steps} times too large"


def steps_text(window: Window) -> str:
    """The number of micro-batches, as text for a message."""
    if window.steps_value is not None and window.steps_value > 1:
        return f"{window.steps_value:g}"
    return "several"


def trace(loss: Loss, evidence: tuple[Step, ...] = ()) -> tuple[Step, ...]:
    """From the mean to the optimizer step, each place once."""
    window, site = loss.window, loss.term.site
    steps = [*site.via, site.reduced.as_step(_reduction_text(loss)), *evidence]
    steps += [f.place.as_step(f"divided by `{f.text}`") for f in loss.by_user]
    if window.library.answer is Answer.YES:
        place = window.library.place or window.backward
        steps.append(place.as_step(f"divided by {window.library.by}"))
    steps.append(window.backward.as_step("gradients are added up here"))
    every = f" every {window.steps_value:g} micro-batches" if (window.steps_value or 0) > 1 else ""
    steps.append(window.optimizer_step.as_step(f"stepped here{every}"))
    unique: list[Step] = []
    for step in steps:
        if step not in unique:
            unique.append(step)
    return tuple(unique)


def _reduction_text(loss: Loss) -> str:
    site = loss.term.site
    if site.is_models_own:
        return f"{site.callee} is a mean over this micro-batch's targets"
    if site.reduction is Reduction.SUM:
        return "reduced to a sum here"
    return "reduced to a mean here"


def confidence(loss: Loss, *others: Confidence) -> Confidence:
    """No more than its weakest link."""
    links = [loss.term.site.confidence, *others]
    if loss.window.library.answer is Answer.UNKNOWN:
        links.append(Confidence.LIKELY)
    configured = bool(loss.window.library.steps)
    if loss.window.stack is Stack.DEEPSPEED and loss.window.idiom is Idiom.ENGINE and not configured:
        links.append(Confidence.LIKELY)  # the engine's own configuration is not in sight
    return min(links)


def rank_confidence(window: Window) -> Confidence:
    """How sure it is that several ranks run this: a wrapper says so, accelerate and Fabric only allow it."""
    return Confidence.CERTAIN if window.stack in (Stack.DDP, Stack.FSDP) else Confidence.LIKELY


def in_loop(place: Place, window: Window) -> bool:
    return place.path == window.loop.path and window.loop.span.contains(place.span)
