"""How are the runs of one site put in words?"""

from __future__ import annotations

from ga_lint.report.text import shown
from ga_lint.verify.model import Run, Verdict
from ga_lint.verify.runs import ORIGINAL

COMPARED = {
    "R0": "original, equal counts",
    "R1": "original, ragged counts",
    "R2": "rewrite, ragged counts",
    "R3": "rewrite against original",
    "R4": "ranks against one batch",
}


def numbers(verdict: Verdict, row: str = "") -> str:
    """The relative errors of the first setting: `R1 0.57, R2 1.7e-16, R4 2.1e-16`; then those of R4 elsewhere."""
    runs = [run for run in verdict.runs if run.row == row]
    first = runs[0].setting if runs else ""
    found = [f"{run.name} {run.relative_error:.2g}" for run in runs if run.setting == first]
    return ", ".join([*found, *elsewhere(verdict, row)])


def elsewhere(verdict: Verdict, row: str = "") -> list[str]:
    """R4 of the original, where there is one of the rewrite too, and R4 of real processes."""
    found = []
    for run in verdict.runs:
        if run.name == "R4" and run.row == row and (run.setting == ORIGINAL or "processes" in run.setting):
            where = "of the original" if run.setting == ORIGINAL else f"with {run.setting}:"
            found.append(f"R4 {where} {run.relative_error:.2g}")
    return found


def rows(verdict: Verdict) -> list[str]:
    """The rows that were measured besides what decides: "float32", "float64 on cuda"."""
    return list(dict.fromkeys(run.row for run in verdict.runs if run.row))


def described(run: Run) -> str:
    """One run with all its numbers."""
    setting = f" ({shown(run.setting)})" if run.setting else ""
    row = f"{shown(run.row)}: " if run.row else ""
    return (
        f"{row}{run.name} {COMPARED.get(run.name, '')}{setting}: {run.relative_error:.2g}, "
        f"allowed {run.allowed:.0e}, scale {run.scale:.4g}, worst in {shown(run.parameter)}"
    )
