"""What does the verdict on a site mean for one finding there? Other faults of the same code are none of its."""

from __future__ import annotations

from dataclasses import replace

from ga_lint.diagnostics import EffectKind, Finding
from ga_lint.verify import Outcome, Run, SiteKind, Verdict
from ga_lint.verify.runs import HEAD_GUESSED, NO_COUNT, SHORT_WINDOW
from ga_lint.verify.thresholds import SCALE, has_right_direction

_SHORT_WINDOW = "window/GAS"  # the factor of what is wrong with the last window alone
_TWICE_DIVIDED = "1/GAS"
_SHOWN = (EffectKind.SCALE, EffectKind.WEIGHTS)  # what gradients show
_OPTS_OUT = ("opt-out", "opt-out-model", "decline-count", "take-count")  # the Trainer divides by the steps then
_DROPS = "drop-division"  # where that divides by 1, it does nothing
SCALE_FACTORS = ("GAS", _TWICE_DIVIDED, _SHORT_WINDOW)


def of_ranks(finding: Finding) -> bool:
    """Does the fault show on several ranks only? One process then finds both texts right."""
    return finding.effect.factor is not None and "N" in finding.effect.factor.split("*")[0].split("/")


def of_objective(finding: Finding) -> bool:
    """Is the code's own objective another than the mean over targets, with or without accumulation?"""
    return finding.effect.factor in ("factor/targets", "targets/count")


def as_judged(finding: Finding, verdict: Verdict) -> Verdict:
    """The verdict for what the finding says: ranks alone clear a fault of the ranks, full windows no short one.

    A rewrite that mends one fault is not refuted by another one that stays.
    """
    if verdict.outcome is Outcome.REFUTED:
        reason = _beside_the_point(finding, verdict)
        return verdict if reason is None else replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    if verdict.outcome is Outcome.CORRECT and finding.effect.kind not in _SHOWN:
        reason = "its gradients are right while it trains; what the finding speaks of is another thing"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    if verdict.outcome is Outcome.CORRECT and of_ranks(finding) and not any(run.name == "R4" for run in verdict.runs):
        reason = "one process cannot show a rank factor; the rewrite changes nothing there"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    if verdict.outcome is Outcome.CORRECT and finding.effect.factor == _SHORT_WINDOW:
        reason = "it did not step on a short last window when it was run alone"
        return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason)
    return verdict


def is_cleared(finding: Finding, verdict: Verdict) -> bool:
    """Do the numbers withdraw this finding? Only one that speaks of what a single process computes in full windows."""
    if verdict.outcome is not Outcome.CORRECT or finding.effect.kind not in _SHOWN:
        return False
    if of_ranks(finding) or of_objective(finding) or finding.effect.on_ranks:
        return False
    if finding.effect.kind is EffectKind.WEIGHTS and verdict.site.ragged is False:
        return False  # the scale alone was asked for
    decide = {SHORT_WINDOW, *(run.setting for run in verdict.runs[:1])}
    return all(run.relative_error <= run.allowed for run in verdict.runs if run.setting in decide and not run.row)


def _beside_the_point(finding: Finding, verdict: Verdict) -> str | None:
    """Why what refutes the rewrite says nothing of this finding, if it does not."""
    runs = {(run.name, run.setting): run for run in verdict.runs if not run.row}
    shown = finding.effect.kind in _SHOWN
    main = verdict.runs[0].setting if verdict.runs else ""
    run = (verdict.reason or "").partition(":")[0].partition(" ")[0]
    if of_objective(finding):
        if run == "R3":
            return "the code's own objective is wrong without accumulation too, so there is nothing to compare with"
        if finding.fix is not None and finding.fix.fixer == _DROPS and _is_as_before(runs, main):
            return "the gradients stay as they are: how they depend on the cut of the batch is another finding"
    if shown and verdict.site.kind is SiteKind.TRAINER and _is_as_before(runs, main):
        return "the gradients stay as they are: the count does not reach this yet, which is another finding"
    if finding.fix is not None and ("shifted", "no") in finding.fix.options and HEAD_GUESSED in verdict.assumptions:
        return "the file names no head, so a causal one stood in: it shifts the labels that the rewrite counts"
    if finding.fix is not None and finding.fix.fixer in _OPTS_OUT and _is_as_without_count(runs, main):
        return "divided by the steps, as where no count is passed: a mean of the micro-batches' means"
    if finding.effect.factor == _TWICE_DIVIDED:
        control, changed = runs.get(("R0", main)), runs.get(("R3", main))
        unseen = control is not None and _is_noise(control)  # it shows no second division: that one stays as it is
        if run == "R3" and unseen and changed is not None and has_right_direction(changed):
            return f"the steps that divide could not be set: without accumulation the loss is {changed.scale:.3g} times"
        if _is_short_as_before(runs, main):
            return "right in full windows; the short last window is off by as much as before"
    return None


def _is_as_before(runs: dict[tuple[str, str], Run], main: str) -> bool:
    """Does the rewrite leave every gradient as it was?"""
    before, after, changed = (runs.get((name, main)) for name in ("R1", "R2", "R3"))
    if before is None or after is None or changed is None:
        return False
    same = _is_near(before.scale, after.scale) and _is_near(before.relative_error, after.relative_error)
    return same and _is_noise(changed)


def _is_as_without_count(runs: dict[tuple[str, str], Run], main: str) -> bool:
    """Does the rewrite make of a count what the code has always made of none?"""
    before, control = runs.get(("R1", NO_COUNT)), runs.get(("R0", NO_COUNT))
    after, changed = runs.get(("R2", main)), runs.get(("R3", main))
    if before is None or control is None or after is None or changed is None:
        return False
    same = _is_near(before.relative_error, after.relative_error) and _is_near(before.scale, after.scale)
    return same and _is_noise(control) and _is_noise(changed)


def _is_short_as_before(runs: dict[tuple[str, str], Run], main: str) -> bool:
    """Is the short window's gradient, next to that of full ones, as large as it was, and are those right now?"""
    full, short = runs.get(("R0", main)), runs.get(("R0", SHORT_WINDOW))
    full_after, short_after = runs.get(("R2", main)), runs.get(("R2", SHORT_WINDOW))
    if full is None or short is None or full_after is None or short_after is None:
        return False
    return _is_noise(full_after) and _is_near(short.scale / full.scale, short_after.scale)


def _is_noise(run: Run) -> bool:
    return run.relative_error <= run.allowed


def _is_near(one: float, two: float) -> bool:
    return abs(one - two) <= SCALE * max(abs(one), abs(two))
