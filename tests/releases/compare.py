"""What does the law say of each scenario, and what did the release do?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ga_lint.knowledge.releases import ReleaseRow, ShiftedCount, load_releases
from ga_lint.knowledge.trainer_law import Outcome, outcome
from releases.overlays import overlay
from testbed.usages import SCENARIOS, usage_of

ONE_PROCESS = (
    *SCENARIOS, "default+first", "ignored+nolabels", "used+nolabels", "ignored+flagF", "canon+flagF", "ignored+scaledF",
    "m_kwign+flagF", "m_kwign+scaledF",
)  # fmt: skip
RANKS = (
    "default", "ignored", "used", "canon", "outloss_fwd", "super_drop", "super_fwd", "clf_mean", "clf_sum", "m_nokw",
    "m_nokw_canon", "m_nokw_clf", "m_kwign", "m_kwuse", "m_kwign+scaledF", "m_kwign+flagF", "m_kwignattr",
)  # fmt: skip
OTHER_AVERAGE = ("default", "ignored", "used", "canon", "super_drop", "clf_mean", "clf_sum", "m_nokw_clf", "m_kwign")
LABELS_OVER_TARGETS = 30 / 26  # of the samples whose first label is one too
RUN_TIMEOUT = 600


@dataclass(frozen=True)
class Run:
    """One start of the scenarios' process."""

    ranks: int
    steps: int
    averages: bool | None  # None: the release's default
    scenarios: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One scenario of one release."""

    run: Run
    scenario: str
    said: str
    measured: str
    agrees: bool


def runs(row: ReleaseRow) -> Iterator[Run]:
    """Four micro-batches each time, so that all compare with the same references."""
    yield Run(1, 4, None, ONE_PROCESS)
    yield Run(2, 2, None, RANKS)
    if row.averages_tokens is not None:
        yield Run(2, 2, not row.averages_tokens, OTHER_AVERAGE)


def compare(release: str) -> list[Cell]:
    """Every scenario on that release; NotInstalled if there is no such one to be had."""
    row = load_releases().row(release)
    cells: list[Cell] = []
    with overlay(release) as environment:
        for run in runs(row):
            cells.extend(_cell(run, row, measured) for measured in _measured(run, release, environment))
    return cells


def _measured(run: Run, release: str, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    script = str(Path(__file__).with_name("scenarios.py"))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(run.ranks)]
    averages = "default" if run.averages is None else str(run.averages).lower()
    with tempfile.TemporaryDirectory(prefix="ga-lint-run-") as folder:
        done = subprocess.run(
            [
                sys.executable,
                *(launcher if run.ranks > 1 else []),
                script,
                folder,
                str(run.steps),
                averages,
                *run.scenarios,
            ],
            env={**environment, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT,
            check=False,
        )
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if [result["scenario"] for result in results] != list(run.scenarios):
        raise RuntimeError(f"transformers {release}: the scenarios did not end: {done.stderr[-2000:]}")
    other = {result["release"] for result in results} - {release}
    if other:
        raise RuntimeError(f"transformers {other.pop()} was imported instead of {release}")
    return results


def _cell(run: Run, row: ReleaseRow, measured: dict[str, Any]) -> Cell:
    scenario = measured["scenario"]
    result = outcome(usage_of(scenario, row, ranks=run.ranks > 1, averages=run.averages), row)
    follows, factor = _said(scenario, result, row, run)
    said = result.raises or _short(follows, factor)
    if result.raises or "raises" in measured:
        shown = measured.get("raises") or _short(measured["follows"], measured["factor"])
        note = f" ({measured['message']})" if "message" in measured and shown != said else ""
        return Cell(run, scenario, said, shown + note, said == shown)
    agrees = (
        measured["follows"] == follows and measured["distance"] < 1e-4 and abs(measured["factor"] / factor - 1) < 1e-3
    )
    shown = _short(measured["follows"], measured["factor"])
    if "eval" in measured:  # the means of an untrained model differ by a few per cent, the ranks are two
        evaluated = run.ranks**result.eval_ranks
        said, shown = f"{said} eval {evaluated:g}", f"{shown} eval {measured['eval']:.3g}"
        agrees &= abs(measured["eval"] / evaluated - 1) < 0.1
    return Cell(run, scenario, said, shown, agrees)


def _said(scenario: str, result: Outcome, row: ReleaseRow, run: Run) -> tuple[str, float]:
    """Which mean the update follows and how many times too large it is."""
    factor = result.scale(run.steps, run.ranks)
    if result.mean_of_means:
        return "micro-batches", factor
    if scenario.endswith("+first") and row.shifted_count is ShiftedCount.NOBODY:
        factor /= LABELS_OVER_TARGETS
    return ("ranks" if result.rank_local else "tokens"), factor


def _short(follows: str, factor: float) -> str:
    return f"{follows[0]}{factor:.3g}"
