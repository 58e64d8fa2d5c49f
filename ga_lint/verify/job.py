"""What travels between the parent and its worker? JSON objects, one a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ga_lint.verify.received import received
from ga_lint.verify.runs import RANKS
from ga_lint.verify.sweep import Sweep

READY = -1  # the number of a worker's first line; its content says why it cannot work, if it cannot
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
    withheld: bool
    seed: int
    dtype: str
    timeout: float
    sweep: bool = False  # measure what a report's pictures show, instead of the runs
    device: str = "cpu"
    rows: tuple[tuple[str, str], ...] = ()  # (dtype, device) in which all runs are repeated
    ranks: int = 0  # how many real processes run R4 besides; 0: none
    ranks_device: str = "cpu"
    fsdp: bool = False  # the model of those is sharded, not replicated
    adapter: str | None = None  # the file that makes the model and the batches, if one was named

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        return received(Job, json.loads(text))


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
    sweep: Sweep | None = None

    def is_whole(self, job: Job) -> bool:
        """Whether it begins with the control run, or holds the sweep, as was asked for, or says why there is none."""
        if self.missing is not None:
            return True
        if job.sweep:
            return self.sweep is not None
        control = self.measurements[0] if self.measurements else None
        return control is not None and control.name == "R0" and control.failure is None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Answer:
        """ValueError where the text, which the code under examination may have written itself, is no answer."""
        return received(Answer, json.loads(text))


@dataclass(frozen=True, slots=True)
class Envelope:
    """One line between the parent and a worker: a job or an answer, with the number that pairs them."""

    number: int
    content: str

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Envelope:
        return received(Envelope, json.loads(line))
