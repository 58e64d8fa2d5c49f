"""What do the runs on several ranks prove? R4 confirms or refutes where its control, equal counts, can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.verify.job import STEPS, Answer, Measurement
from ga_lint.verify.model import Outcome
from ga_lint.verify.runs import ON_RANKS, ORIGINAL, RANKS
from ga_lint.verify.thresholds import SCALE, between, differs, has_right_direction


class OnRanks:
    """The R4 of one site: emulated, and of real processes where they were asked for."""

    def __init__(self, answer: Answer, allowed: float) -> None:
        self.answer, self.allowed = answer, allowed

    def of_original(self, reason: str | None) -> tuple[Outcome, str | None]:
        """What an original deserves that is right in one process, for `reason` or none."""
        for run in self._of_original():
            if run.failure is not None:
                return Outcome.CORRECT, f"right in one process; {_told(run)} it could not be run: {run.failure}"
            if self._agrees(run):
                continue
            if not differs(run):
                return Outcome.INCONCLUSIVE, between(run)
            mistrust = self._mistrust(run)
            if mistrust is not None:
                return Outcome.INCONCLUSIVE, f"right in one process; {mistrust}"
            return Outcome.WRONG, f"right in one process, but not {_told(run)}: {_distance(run)}"
        return Outcome.CORRECT, reason

    def objection(self, run: Measurement) -> str | None:
        """Why this R4 refutes the rewrite, or None."""
        if run.setting == ORIGINAL or self._mistrust(run) is not None:
            return None
        where = f" ({run.setting})" if run.setting else ""
        if run.failure is not None:
            return f"R4{where}: {_told(run)} the rewritten code fails: {run.failure}"
        if not differs(run):
            return None
        return (
            f"R4{where}: {_told(run)} the gradient is not that of the batch: {_distance(run)}; "
            f"furthest off in {run.parameter}, allowed {self.allowed:.0e}"
        )

    def doubt(self) -> str | None:
        """Why R4 does not confirm a rewrite that it does not refute, or None."""
        runs = [run for run in self.answer.measurements if run.name == "R4" and run.setting != ORIGINAL]
        if self.answer.stack is not None and not runs:
            return f"R4: it was not run on {RANKS} ranks"
        for run in runs:
            if run.failure is not None:
                return f"R4: {_told(run)} it could not be run: {run.failure}"
            if differs(run):
                return f"R4: {self._mistrust(run)}"
            if not self._agrees(run):
                return between(run)
        return None

    def _of_original(self) -> Iterator[Measurement]:
        """Its own R4, or if there is one too, not that of a rewrite."""
        runs = [run for run in self.answer.measurements if run.name == "R4"]
        has_own = any(run.setting == ORIGINAL for run in runs)
        is_rewritten = any(run.name == "R2" for run in self.answer.measurements)
        return (run for run in runs if run.setting == ORIGINAL or not (has_own or is_rewritten))

    def _mistrust(self, run: Measurement) -> str | None:
        """Why this R4 proves nothing: its control fails, by more than a whole factor, or there is none."""
        settings = (run.setting, ON_RANKS) if " processes" in run.setting else (ON_RANKS,)
        controls = [
            m for setting in settings for m in self.answer.measurements if (m.name, m.setting) == ("R0", setting)
        ]
        if not controls:
            return f"{_told(run)} there was no control run"
        control = controls[0]
        if control.failure is not None:
            return f"{_told(run)} it could not be run: {control.failure}"
        if self._agrees(control) or _is_factor(control):
            return None
        return (
            f"{_told(run)} the control run failed (R0: relative error {control.relative_error:.2g} with equal counts), "
            "so R4 says nothing"
        )

    def _agrees(self, run: Measurement) -> bool:
        return run.relative_error < self.allowed


def _told(run: Measurement) -> str:
    return f"on {run.ranks} ranks"


def _distance(run: Measurement) -> str:
    """How far, and if it is a factor of the ranks, which."""
    found, ranks = f"relative error {run.relative_error:.2g}", run.ranks
    if abs(run.scale * ranks - 1) < SCALE and has_right_direction(run):
        return f"{found}, {ranks} times too small: the number of ranks is missing as a factor"
    if abs(run.scale / ranks - 1) < SCALE and has_right_direction(run):
        return f"{found}, {ranks} times too large: the number of ranks is a factor too often"
    return found


def _is_factor(run: Measurement) -> bool:
    """Off by steps or ranks, to whole powers, in the right direction."""
    factors = (float(STEPS) ** steps * float(run.ranks) ** ranks for steps in (-1, 0, 1) for ranks in (-1, 0, 1))
    return has_right_direction(run) and any(abs(run.scale / factor - 1) < SCALE for factor in factors)
