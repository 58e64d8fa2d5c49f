"""What travels between the parent and its worker? JSON objects, one a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from ga_lint.verify.sweep import Sweep

STEPS = 4  # the accumulation steps of every check: four rows, cut into four micro-batches of one


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
    sweep: bool = False  # measure what a report's pictures show, instead of the runs

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        return Job(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison as it was measured, or the `failure` that kept the code from running."""

    name: str
    setting: str
    relative_error: float = 0.0
    scale: float = 1.0
    parameter: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the worker found out about one site."""

    measurements: tuple[Measurement, ...] = ()
    assumptions: tuple[str, ...] = ()
    missing: str | None = None  # why the site could not be run
    raises: str | None = None  # the original cannot run as it stands: the error that training would end with
    dtype: str = "float64"
    equal: str | None = None  # why every micro-batch holds the same number of targets
    sweep: Sweep | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Answer:
        fields: dict[str, Any] = json.loads(text)
        fields["measurements"] = tuple(Measurement(**each) for each in fields["measurements"])
        fields["assumptions"] = tuple(fields["assumptions"])
        fields["sweep"] = fields.get("sweep") and Sweep.from_fields(fields["sweep"])
        return Answer(**fields)
