"""What do the measured gradients prove?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ga_lint.verify.job import STEPS, Answer, Measurement
from ga_lint.verify.model import Outcome, Run
from ga_lint.verify.on_ranks import OnRanks
from ga_lint.verify.runs import LOSS_ONLY, PER_EXAMPLE, SHORT_WINDOW, is_doubt
from ga_lint.verify.thresholds import SCALE, allowed_in, between, differs, has_right_direction


@dataclass(frozen=True, slots=True)
class Judgement:
    outcome: Outcome
    runs: tuple[Run, ...]
    reason: str | None = None


def judge(answer: Answer, has_rewrite: bool) -> Judgement:
    """The outcome for one site from its runs; the first setting decides, the others may only object."""
    if answer.missing is not None and answer.raises is not None:
        what = "neither its loss nor the rewrite" if has_rewrite else "its loss"
        was = "was run" if has_rewrite else "was not run"
        return Judgement(Outcome.WRONG, (), f"{answer.raises}; {what} {was}: {answer.missing}")
    if answer.missing is not None:
        return Judgement(Outcome.NOT_VERIFIABLE, (), answer.missing)
    outcome, reason = _Case(answer, allowed_in(answer.dtype)).decide(has_rewrite)
    if answer.measurements[0].setting == LOSS_ONLY:
        reason = f"loss only: {reason}"
    return Judgement(outcome, tuple(_runs_of(answer)), reason)


def _runs_of(answer: Answer) -> Iterator[Run]:
    """What was measured, as it is reported: what decides, then the rows."""
    for m in (*answer.measurements, *answer.rows):
        if m.failure is None:
            allowed = allowed_in(m.row.partition(" ")[0] or answer.dtype)
            yield Run(m.name, m.setting, m.relative_error, m.scale, m.parameter, allowed, m.row)


class _Case:
    def __init__(self, answer: Answer, allowed: float) -> None:
        self.answer = answer
        self.allowed = allowed
        self.main = answer.measurements[0].setting
        self.ranks = OnRanks(answer, allowed)

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
        return self.ranks.of_original(reason)

    def alone(self, factor: str | None) -> tuple[Outcome, str | None]:
        """What the original deserves in one process."""
        if self.answer.raises is not None:
            return Outcome.WRONG, self.answer.raises
        ragged = self.run("R1")
        doubt = self.doubt(ragged)
        if doubt is not None:
            return Outcome.INCONCLUSIVE, doubt
        if factor is not None:
            return self.undivided(factor)
        if ragged is None:
            return Outcome.CORRECT, self.short_window() or self.answer.equal
        other = self.run("R1", PER_EXAMPLE)
        if self.differs(ragged) and other is not None and self.agrees(other):
            return Outcome.INCONCLUSIVE, (
                "right if the model's loss is a mean over examples, wrong if it is one over tokens "
                f"(relative error {ragged.relative_error:.2g}): the file names no head"
            )
        if self.differs(ragged):
            return Outcome.WRONG, f"relative error {ragged.relative_error:.2g} when the counts differ"
        if not self.agrees(ragged):
            return Outcome.INCONCLUSIVE, between(ragged)
        return Outcome.CORRECT, self.short_window()

    def undivided(self, factor: str) -> tuple[Outcome, str | None]:
        """Off by the steps; in a setting that is as likely it may be wrong in another way."""
        for other in self.answer.measurements:
            control = self.run("R0", other.setting)
            if other.name == "R1" and is_doubt(other.setting) and control is not None and self.agrees(control):
                return Outcome.WRONG, f"{factor}; {other.setting}, relative error {other.relative_error:.2g}"
        return Outcome.MISSING_DIVISION, factor

    def doubt(self, ragged: Measurement | None) -> str | None:
        """What the answer hangs on, where a setting of the Trainer or of the model decides it that is not known."""
        for other in self.answer.measurements:
            if other.name != "R1" or not is_doubt(other.setting) or ragged is None:
                continue
            if self.agrees(other) != self.agrees(ragged):
                found = ("right", "wrong") if self.agrees(other) else ("wrong", "right")
                return f"{found[0]} {other.setting}, {found[1]} otherwise: the code does not say which"
        return None

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
        short_alone = self.run("R1") is None and self.short_window() is not None  # where the scale alone was asked for
        after = self.run("R2")
        if after is not None and self.only_mends_the_call(after) and self.differs(after):
            return Outcome.INCONCLUSIVE, (
                "the rewrite mends the TypeError and nothing else: the gradient depends on how the batch is cut, "
                f"as before (relative error {after.relative_error:.2g})"
            )
        if original[0] is Outcome.INCONCLUSIVE or (original[0] is Outcome.CORRECT and not short_alone):
            return original
        for name, setting in (("R2", None), ("R3", None), ("R2", SHORT_WINDOW)):
            run = self.run(name, setting)
            if run is not None and not self.agrees(run):
                return Outcome.INCONCLUSIVE, between(run)
        doubt = self.ranks.doubt()
        return (Outcome.CONFIRMED, None) if doubt is None else (Outcome.INCONCLUSIVE, doubt)

    def objection(self, run: Measurement) -> str | None:
        """Why this run refutes the rewrite, or None."""
        if run.name == "R4":
            return self.ranks.objection(run)
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
        if self.only_mends_the_call(run):
            return None
        return f"R2{where}: the gradient still depends on how the batch is cut: {detail}"

    def only_mends_the_call(self, run: Measurement) -> bool:
        """Whether the original cannot be called at all, is divided rightly, and this R2 is no worse than its R1."""
        control, before = self.run("R0", run.setting), self.run("R1", run.setting)
        if self.answer.raises is None or control is None or before is None or not self.agrees(control):
            return False
        return run.relative_error <= before.relative_error * (1 + SCALE)

    def run(self, name: str, setting: str | None = None) -> Measurement | None:
        wanted = (name, self.main if setting is None else setting)
        return next((m for m in self.answer.measurements if (m.name, m.setting) == wanted), None)

    def agrees(self, run: Measurement) -> bool:
        return run.relative_error < self.allowed

    def differs(self, run: Measurement) -> bool:
        return differs(run)


def _steps_factor(run: Measurement) -> str | None:
    """Which division is missing or doubled, when the two gradients differ by exactly that factor."""
    if not has_right_direction(run):
        return None
    if abs(run.scale / STEPS - 1) < SCALE:
        return f"the gradient is {STEPS} times too large with {STEPS} accumulation steps: a division is missing"
    if abs(run.scale * STEPS - 1) < SCALE:
        return f"the gradient is {STEPS} times too small with {STEPS} accumulation steps: it is divided twice"
    return None
