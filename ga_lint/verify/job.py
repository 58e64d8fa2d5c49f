"""What travels between the parent and its worker? JSON objects, one a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

STEPS = 4  # the accumulation steps of every check: four rows, cut into four micro-batches of one

RANKS = 2  # of the emulation: the fewest that show a count of one rank, or a rank factor that is missing


@dataclass(frozen=True, slots=True)
class Job:
    """One site, as the worker needs it."""

    path: str
    kind: str  # a SiteKind's value
    scope: str
    row: int
    original: str
    rewritten: str | None
    rewritten_row: int | None
    ragged: bool | None
    seed: int
    dtype: str
    timeout: float
    device: str = "cpu"
    rows: tuple[tuple[str, str], ...] = ()  # (dtype, device) in which all runs are repeated
    ranks: int = 0  # how many real processes run R4 besides; 0: none
    ranks_device: str = "cpu"
    fsdp: bool = False  # the model of those is sharded, not replicated

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        fields: dict[str, Any] = json.loads(text)
        fields["rows"] = tuple((dtype, device) for dtype, device in fields["rows"])
        return Job(**fields)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison as it was measured, or the `failure` that kept the code from running."""

    name: str
    setting: str
    relative_error: float = 0.0
    scale: float = 1.0
    parameter: str = ""
    failure: str | None = None
    ranks: int = RANKS  # of R4 and of its control
    row: str = ""  # "float32", "float64 on cuda": it informs, and decides nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker found out about one site."""

    measurements: tuple[Measurement, ...] = ()
    assumptions: tuple[str, ...] = ()
    missing: str | None = None  # why the site could not be run
    raises: str | None = None  # the original cannot run as it stands: the error that training would end with
    dtype: str = "float64"
    equal: str | None = None  # why every micro-batch holds the same number of targets
    rows: tuple[Measurement, ...] = ()
    stack: str | None = None  # what puts the code on several ranks; R4 belongs to it then

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Answer:
        fields: dict[str, Any] = json.loads(text)
        for name in ("measurements", "rows"):
            fields[name] = tuple(Measurement(**each) for each in fields[name])
        fields["assumptions"] = tuple(fields["assumptions"])
        return Answer(**fields)
