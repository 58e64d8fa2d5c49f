"""What did the benchmarks measure, and how does the README show it?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORD = Path(__file__).resolve().parents[1] / "data" / "benchmarks.json"
_HEADS = "| | ga-lint | compared with | ratio (of processor time) | goal |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured of ga-lint, and of another program in the same minute."""

    what: str
    ours: float
    unit: str
    goal: str = ""
    peer: str = ""
    theirs: float | None = None
    cpu: tuple[float, float] | None = None  # seconds of the processor, ours and theirs

    def __str__(self) -> str:
        return f"{self.what}: " + ", ".join(part for part in self.cells()[1:] if part)

    def cells(self) -> list[str]:
        """As the table shows it: what, ga-lint, compared with, ratio by the clock and by the processor, goal."""
        against = "" if self.theirs is None else f"{self.peer}: {_number(self.theirs)} {self.unit}"
        ratio = "" if self.theirs is None else f"{self.ours / self.theirs:.2f}"
        if self.cpu is not None:
            ratio += f" ({self.cpu[0] / self.cpu[1]:.2f})"
        return [self.what, f"{_number(self.ours)} {self.unit}".strip(), against, ratio, self.goal]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def record() -> dict[str, Any]:
    """The state of the machine, and the rows."""
    kept: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return kept


def table() -> str:
    """The rows as the README shows them, and what they were measured on."""
    kept = record()
    lines = [f"| {' | '.join(Row(**row).cells())} |\n" for row in kept["rows"]]
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    where = (
        f"Measured on {kept['date']}, {kept['processor']}, load {kept['load']}, Python {kept['python']}; {versions}."
    )
    return f"{_HEADS}{''.join(lines)}\n{where}\n"
