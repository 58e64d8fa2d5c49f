"""What does the numeric check say, site by site? The report of `ga-lint verify`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ga_lint.report.text import plural, shown
from ga_lint.verify.model import ORIGINAL, Outcome, Run, Verdict

_COMPARED = {
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
    for run in runs:
        if run.name == "R4" and (run.setting == ORIGINAL or "processes" in run.setting):
            where = "of the original" if run.setting == ORIGINAL else f"with {run.setting}:"
            found.append(f"R4 {where} {run.relative_error:.2g}")
    return ", ".join(found)


def render_full(verdicts: Sequence[Verdict], *, details: bool = False) -> str:
    """A line for each site, with its reason and every assumption; the single runs on request."""
    if not verdicts:
        return "No accumulation site found.\n"
    lines = [line for verdict in verdicts for line in _site(verdict, details=details)]
    counts = Counter(verdict.outcome for verdict in verdicts)
    outcomes = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if outcome in counts)
    return "\n".join([*lines, "", f"{plural(len(verdicts), 'site')}: {outcomes}"]) + "\n"


def _site(verdict: Verdict, *, details: bool) -> Iterator[str]:
    site = verdict.site
    measured = f"  {numbers(verdict)}" if verdict.runs else ""
    cell = "" if site.cell is None else f"cell {site.cell}:"
    where = f"{shown(site.path)}:{cell}{site.row - site.rows_above}"
    yield f"{where}: {verdict.outcome.value}{measured}  [{site.kind.value} {shown(site.scope)}]".replace(" ]", "]")
    if verdict.reason:
        yield f"  {shown(verdict.reason)}"
    for row in dict.fromkeys(run.row for run in verdict.runs if run.row):
        yield f"  {row}: {numbers(verdict, row)}"
    if details:
        yield from (f"  {_run(run)}" for run in verdict.runs)
    if verdict.assumptions:
        yield f"  assumes: {'; '.join(shown(assumption) for assumption in verdict.assumptions)}"


def _run(run: Run) -> str:
    setting = f" ({run.setting})" if run.setting else ""
    what = f"{f'{run.row}: ' if run.row else ''}{run.name} {_COMPARED.get(run.name, '')}{setting}"
    return (
        f"{what}: {run.relative_error:.2g}, allowed {run.allowed:.0e}, scale {run.scale:.4g}, worst in {run.parameter}"
    )


def render_json(verdicts: Sequence[Verdict]) -> str:
    """A list of objects, one for each site."""
    return json.dumps([_object(verdict) for verdict in verdicts], indent=2) + "\n"


def _object(verdict: Verdict) -> dict[str, object]:
    site = verdict.site
    return {
        "assumptions": list(verdict.assumptions),
        "cell": site.cell,
        "filename": site.path.as_posix(),
        "has_rewrite": site.rewritten is not None,
        "kind": site.kind.value,
        "location": {"column": 1, "row": site.row - site.rows_above},
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "runs": [asdict(run) for run in verdict.runs],
        "scope": site.scope,
    }
