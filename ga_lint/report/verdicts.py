"""How are the runs of one site put in words?"""

from __future__ import annotations

from ga_lint.report.text import shown
from ga_lint.verify.model import Run, Verdict

COMPARED = {
    "R0": "original, equal counts",
    "R1": "original, ragged counts",
    "R2": "rewrite, ragged counts",
    "R3": "rewrite against original",
    "R4": "rewrite, two ranks",
}


def numbers(verdict: Verdict) -> str:
    """The relative errors of the first setting: `R1 0.57, R2 1.7e-16`."""
    first = verdict.runs[0].setting if verdict.runs else ""
    return ", ".join(f"{run.name} {run.relative_error:.2g}" for run in verdict.runs if run.setting == first)


def described(run: Run) -> str:
    """One run with all its numbers."""
    setting = f" ({shown(run.setting)})" if run.setting else ""
    what = f"{run.name} {COMPARED.get(run.name, '')}{setting}"
    return (
        f"{what}: {run.relative_error:.2g}, allowed {run.allowed:.0e}, scale {run.scale:.4g}, "
        f"worst in {shown(run.parameter)}"
    )
