"""What do the measured gradients prove?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ga_lint.verify.job import STEPS, Answer, Measurement
from ga_lint.verify.model import Outcome, Run

DIFFERS = 1e-2  # the smallest real error on this data is 0.07; bfloat16 noise reaches 1.1e-2 and decides nothing
AGREES = {
    "float64": 1e-6,  # correct rewrites: 3e-16; 3e-8 where the user's counter is float32
    "float32": 1e-5,  # correct rewrites: 1.6e-7 at worst over 60 seeds
}
SCALE = 1e-3  # how near a factor must be to 4 or 1/4 to be called a missing or a second division
SHORT_WINDOW = "short last window"
COUNT_PASSED, NO_COUNT = "count passed", "no count"  # whether the Trainer passes num_items_in_batch
LOSS_ONLY = "loss only"  # the loop did not run; its loss did, alone
PER_EXAMPLE = "per-example head"  # tried where the file names no head: is it wrong for every head?


@dataclass(frozen=True, slots=True)
class Judgement:
    outcome: Outcome
    runs: tuple[Run, ...]
    reason: str | None = None


def judge(answer: Answer, has_rewrite: bool) -> Judgement:
    """The outcome for one site from its runs; the first setting decides, the others may only object."""
    if answer.missing is not None:
        return Judgement(Outcome.NOT_VERIFIABLE, (), answer.missing)
    allowed = AGREES[answer.dtype]
    runs = tuple(
        Run(m.name, m.setting, m.relative_error, m.scale, m.parameter, allowed)
        for m in answer.measurements
        if m.failure is None
    )
    outcome, reason = _Case(answer, allowed).decide(has_rewrite)
    if answer.measurements[0].setting == LOSS_ONLY:
        reason = f"loss only: {reason}"
    return Judgement(outcome, runs, reason)


class _Case:
    def __init__(self, answer: Answer, allowed: float) -> None:
        self.answer = answer
        self.allowed = allowed
        self.main = answer.measurements[0].setting

    def decide(self, has_rewrite: bool) -> tuple[Outcome, str | None]:
        control = self.run("R0")
        assert control is not None  # every subject measures its control first
        factor = _steps_factor(control)
        if not self.agrees(control) and factor is None:
            return Outcome.INCONCLUSIVE, (
                "even with equal counts the gradient depends on how the batch is cut "
                f"(relative error {control.relative_error:.2g}): the control run failed"
            )
        original = self.original(factor)
        return self.rewrite(original) if has_rewrite else original

    def original(self, factor: str | None) -> tuple[Outcome, str | None]:
        """What the original deserves on its own."""
        if self.answer.raises is not None:
            return Outcome.WRONG, self.answer.raises
        if factor is not None:
            return Outcome.MISSING_DIVISION, factor
        ragged = self.run("R1")
        if ragged is None:
            return Outcome.CORRECT, self.answer.equal
        other = self.run("R1", PER_EXAMPLE)
        if self.differs(ragged) and other is not None and self.agrees(other):
            return Outcome.INCONCLUSIVE, (
                "right if the model's loss is a mean over examples, wrong if it is one over tokens "
                f"(relative error {ragged.relative_error:.2g}): the file names no head"
            )
        if self.differs(ragged):
            return Outcome.WRONG, f"relative error {ragged.relative_error:.2g} when the counts differ"
        if not self.agrees(ragged):
            return Outcome.INCONCLUSIVE, _between(ragged)
        return Outcome.CORRECT, self.short_window()

    def short_window(self) -> str | None:
        short = self.run("R0", SHORT_WINDOW)
        if short is None or self.agrees(short):
            return None
        return f"only the gradient of the short last window is off: {short.scale:.2g} times the right one"

    def rewrite(self, original: tuple[Outcome, str | None]) -> tuple[Outcome, str | None]:
        """What the runs of the rewrite say, given what the original deserves."""
        for objection in map(self.objection, self.answer.measurements):
            if objection is not None:
                return Outcome.REFUTED, objection
        if original[0] in (Outcome.CORRECT, Outcome.INCONCLUSIVE):
            return original
        for name in ("R2", "R3"):
            run = self.run(name)
            if run is not None and not self.agrees(run):
                return Outcome.INCONCLUSIVE, _between(run)
        return Outcome.CONFIRMED, None

    def objection(self, run: Measurement) -> str | None:
        """Why this run refutes the rewrite, or None."""
        if run.name not in ("R2", "R3"):
            return None
        where = f" ({run.setting})" if run.setting else ""
        if run.failure is not None:
            return f"{run.name}{where}: the rewritten code fails: {run.failure}"
        if not self.differs(run):
            return None
        detail = f"relative error {run.relative_error:.2g} in {run.parameter}, allowed {self.allowed:.0e}"
        if run.name == "R3":
            return f"R3{where}: the objective changed even without accumulation: {detail}"
        before = self.run("R1", run.setting)
        if run.setting not in (self.main, SHORT_WINDOW) and before is not None and self.differs(before):
            return None  # without a count no rewrite can weigh the micro-batches; it was no better before
        return f"R2{where}: the gradient still depends on how the batch is cut: {detail}"

    def run(self, name: str, setting: str | None = None) -> Measurement | None:
        wanted = (name, self.main if setting is None else setting)
        return next((m for m in self.answer.measurements if (m.name, m.setting) == wanted), None)

    def agrees(self, run: Measurement) -> bool:
        return run.relative_error < self.allowed

    def differs(self, run: Measurement) -> bool:
        return not run.relative_error <= DIFFERS  # NaN differs


def _steps_factor(run: Measurement) -> str | None:
    """Which division is missing or doubled, when the two gradients differ by exactly that factor."""
    direction = math.sqrt(max(0.0, run.relative_error**2 - (run.scale - 1) ** 2))
    if not direction <= DIFFERS * abs(run.scale):
        return None
    if abs(run.scale / STEPS - 1) < SCALE:
        return f"the gradient is {STEPS} times too large with {STEPS} accumulation steps: a division is missing"
    if abs(run.scale * STEPS - 1) < SCALE:
        return f"the gradient is {STEPS} times too small with {STEPS} accumulation steps: it is divided twice"
    return None


def _between(run: Measurement) -> str:
    return f"{run.name}: relative error {run.relative_error:.2g} is neither noise nor a clear difference"
