"""What do the measured gradients prove?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ga_lint.verify.job import RANKS, STEPS, Answer, Measurement
from ga_lint.verify.model import ORIGINAL, Outcome, Run

DIFFERS = 1e-2  # the smallest real error on this data is 0.07; bfloat16 noise reaches 1.1e-2 and decides nothing
AGREES = {
    "float64": 1e-6,  # correct rewrites: 3e-16; 3e-8 where the user's counter is float32
    "float32": 1e-5,  # correct rewrites: 1.6e-7 at worst over 60 seeds
}
SCALE = 1e-3  # how near a factor must be to 4 or 1/4 to be called a missing or a second division
SHORT_WINDOW = "short last window"
COUNT_PASSED, NO_COUNT = "count passed", "no count"  # whether the Trainer passes num_items_in_batch
ON_RANKS = f"{RANKS} ranks"  # the setting of the control of R4, with equal counts
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
            changed = next((m for m in self.answer.measurements if m.name == "R3" and m.setting == self.main), None)
            if changed is not None and (objection := self.objection(changed)) is not None:
                return Outcome.REFUTED, objection  # both without accumulation: the control has no say in it
            return Outcome.INCONCLUSIVE, (
                "even with equal counts the gradient depends on how the batch is cut "
                f"(relative error {control.relative_error:.2g}): the control run failed"
            )
        original = self.original(factor)
        return self.rewrite(original) if has_rewrite else original

    def original(self, factor: str | None) -> tuple[Outcome, str | None]:
        """What the original deserves on its own: in one process, and if it is right there, on several ranks."""
        outcome, reason = self.alone(factor)
        if outcome is not Outcome.CORRECT:
            return outcome, reason
        run = self.run("R4", ORIGINAL) or self.run("R4")
        if run is None or (run.failure is None and self.agrees(run)):
            return outcome, reason
        if run.failure is not None:
            return outcome, f"right in one process; on {RANKS} ranks it could not be run: {run.failure}"
        if not self.differs(run):
            return Outcome.INCONCLUSIVE, _between(run)
        if not self.trusts_ranks():
            return Outcome.INCONCLUSIVE, f"right in one process; {self.no_trust()}"
        return Outcome.WRONG, f"right in one process, but not on {RANKS} ranks: {_of_ranks(run)}"

    def alone(self, factor: str | None) -> tuple[Outcome, str | None]:
        """What the original deserves in one process."""
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

    def trusts_ranks(self) -> bool:
        """Whether the original with equal counts is right on several ranks, or off by no more than a whole factor."""
        control = self.run("R0", ON_RANKS)
        return control is not None and control.failure is None and (self.agrees(control) or _is_factor(control))

    def no_trust(self) -> str:
        control = self.run("R0", ON_RANKS)
        if control is None or control.failure is not None:
            return f"on {RANKS} ranks it could not be run: {control.failure if control else 'no control'}"
        return (
            f"on {RANKS} ranks the control run failed (R0: relative error {control.relative_error:.2g} with equal "
            "counts), so the emulation says nothing"
        )

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
        doubt = next(filter(None, map(self.doubt_about_ranks, self.answer.measurements)), None)
        if original[0] in (Outcome.CORRECT, Outcome.INCONCLUSIVE):
            return original
        if doubt is not None:
            return Outcome.INCONCLUSIVE, doubt
        for name in ("R2", "R3", "R4"):
            run = self.run(name)
            if run is not None and not self.agrees(run):
                return Outcome.INCONCLUSIVE, _between(run)
        if self.answer.stack is not None and self.run("R4") is None:
            return Outcome.INCONCLUSIVE, f"R4: it was not run on {RANKS} ranks"
        return Outcome.CONFIRMED, None

    def objection(self, run: Measurement) -> str | None:
        """Why this run refutes the rewrite, or None."""
        if run.name == "R4" and run.setting != ORIGINAL:
            return self.objection_of_ranks(run)
        if run.name not in ("R2", "R3"):
            return None
        where = f" ({run.setting})" if run.setting else ""
        if run.failure is not None:
            return f"{run.name}{where}: {run.failure}"
        if not self.differs(run):
            return None
        detail = f"relative error {run.relative_error:.2g} in {run.parameter}, allowed {self.allowed:.0e}"
        if run.name == "R3":
            return f"R3{where}: the objective changed even without accumulation: {detail}"
        before = self.run("R1", run.setting)
        if run.setting not in (self.main, SHORT_WINDOW) and before is not None and self.differs(before):
            return None  # without a count no rewrite can weigh the micro-batches; it was no better before
        return f"R2{where}: the gradient still depends on how the batch is cut: {detail}"

    def objection_of_ranks(self, run: Measurement) -> str | None:
        if not self.trusts_ranks():
            return None
        where = f" ({run.setting})" if run.setting else ""
        if run.failure is not None:
            return f"R4{where}: on {RANKS} ranks the rewritten code fails: {run.failure}"
        if not self.differs(run):
            return None
        return (
            f"R4{where}: on {RANKS} ranks the gradient is not that of the batch: {_of_ranks(run)}; "
            f"furthest off in {run.parameter}, allowed {self.allowed:.0e}"
        )

    def doubt_about_ranks(self, run: Measurement) -> str | None:
        """Why R4 neither confirms nor refutes."""
        if run.name != "R4" or run.setting == ORIGINAL or (run.failure is None and not self.differs(run)):
            return None
        told = f"on {RANKS} ranks it could not be run: {run.failure}" if run.failure is not None else self.no_trust()
        return f"R4: {told}"

    def run(self, name: str, setting: str | None = None) -> Measurement | None:
        wanted = (name, self.main if setting is None else setting)
        return next((m for m in self.answer.measurements if (m.name, m.setting) == wanted), None)

    def agrees(self, run: Measurement) -> bool:
        return run.relative_error < self.allowed

    def differs(self, run: Measurement) -> bool:
        return not run.relative_error <= DIFFERS  # NaN differs


def _of_ranks(run: Measurement) -> str:
    """How far, and if it is a factor of the ranks, which."""
    found = f"relative error {run.relative_error:.2g}"
    if abs(run.scale * RANKS - 1) < SCALE and _has_right_direction(run):
        return f"{found}, {RANKS} times too small: the number of ranks is missing as a factor"
    if abs(run.scale / RANKS - 1) < SCALE and _has_right_direction(run):
        return f"{found}, {RANKS} times too large: the number of ranks is a factor too often"
    return found


def _has_right_direction(run: Measurement) -> bool:
    return math.sqrt(max(0.0, run.relative_error**2 - (run.scale - 1) ** 2)) <= DIFFERS * abs(run.scale)


def _is_factor(run: Measurement) -> bool:
    """Off by steps or ranks, to whole powers, in the right direction."""
    factors = (float(STEPS) ** steps * float(RANKS) ** ranks for steps in (-1, 0, 1) for ranks in (-1, 0, 1))
    return _has_right_direction(run) and any(abs(run.scale / factor - 1) < SCALE for factor in factors)


def _steps_factor(run: Measurement) -> str | None:
    """Which division is missing or doubled, when the two gradients differ by exactly that factor."""
    if not _has_right_direction(run):
        return None
    if abs(run.scale / STEPS - 1) < SCALE:
        return f"the gradient is {STEPS} times too large with {STEPS} accumulation steps: a division is missing"
    if abs(run.scale * STEPS - 1) < SCALE:
        return f"the gradient is {STEPS} times too small with {STEPS} accumulation steps: it is divided twice"
    return None


def _between(run: Measurement) -> str:
    return f"{run.name}: relative error {run.relative_error:.2g} is neither noise nor a clear difference"
