"""What is asked of a numeric check, and what does it answer? Plain frozen types, no torch."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from ga_lint.machine import usable_cores
from ga_lint.verify.sweep import Sweep


class SiteKind(enum.Enum):
    """How a piece of code takes part in accumulation, and so how it is run."""

    TRAINER = "trainer"  # an override of compute_loss or training_step
    LOOP = "loop"  # a training loop with its own backward
    LOSS_FUNCTION = "loss function"  # (outputs or logits, labels, num_items_in_batch) -> loss


class Outcome(enum.Enum):
    """What the runs say about one site."""

    CONFIRMED = "confirmed"  # the original is wrong and the rewrite is right
    REFUTED = "refuted"  # the rewrite is wrong
    CORRECT = "correct"  # the original is right: there was nothing to fix
    WRONG = "wrong"  # the original is wrong, and there is no rewrite to try
    MISSING_DIVISION = "missing division"  # off by exactly the accumulation steps, even with equal counts
    INCONCLUSIVE = "inconclusive"
    NOT_VERIFIABLE = "not verifiable"
    NOT_RUN = "not run"  # the check was interrupted, or its worker died: nothing is known


@dataclass(frozen=True, slots=True)
class Site:
    """One place to check, with the whole text of its file before and, if there is one, after the rewrite."""

    path: Path
    kind: SiteKind
    scope: str  # qualified name of the function or method; "" at module level
    row: int  # 1-based, inside the site in `original`: the line of the loss or of the backward
    original: str
    rewritten: str | None = None
    rewritten_row: int | None = None  # None: found by the scope, and by the order of the backward calls in it
    # Can micro-batches differ in their counts? None: judged from the file. False also asks for the scale alone: a
    # rewrite that repairs it is confirmed although the weights of ragged micro-batches stay as they were.
    ragged: bool | None = None
    withheld: bool = False  # the model is one that the Trainer passes no count for, unless the class itself says so
    notes: tuple[str, ...] = ()  # what its project says of the libraries that it runs on; told with the assumptions
    cell: int | None = None  # of a notebook, whose code is one module here
    rows_above: int = 0  # how many rows of that module stand above the cell


@dataclass(frozen=True, slots=True)
class Run:
    """One comparison of two gradients: `relative_error` = |x - y| / |y|, `scale` = <x, y> / <y, y>."""

    name: str  # R0, R1, R2, R3 or R4: see runs.py
    setting: str  # likewise; "" where there is only one
    relative_error: float
    scale: float
    parameter: str  # where the difference is largest
    allowed: float
    row: str = ""  # "float32", "float64 on cuda": measured besides what decides


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one site. `assumptions` lists everything that was replaced or guessed to run it."""

    site: Site
    outcome: Outcome
    runs: tuple[Run, ...] = ()
    assumptions: tuple[str, ...] = ()
    reason: str | None = None
    sweep: Sweep | None = None  # measured where a report shows it


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run the checks."""

    timeout: float = 30.0  # seconds for one site; a site takes 0.1-1 s
    seed: int = 0
    dtype: str = "float64"  # what decides
    adapter: Path | None = None  # makes the model and the batches; None: the one beside the site's file, if any
    rows: tuple[tuple[str, str], ...] = ()  # (dtype, device) in which all is measured besides, and decides nothing
    ranks: int = 0  # real processes that run R4 besides the emulation; 0: none
    fsdp: bool = False  # shard their model
    ranks_device: str = "cpu"
    sweep: bool = False  # measure what the pictures of a report show too; takes some seconds a site
    workers: int = field(default_factory=usable_cores)  # sites at a time

    @property
    def parts(self) -> int:
        """How many times a site is examined, each within `timeout`."""
        return 1 + len(self.rows) + bool(self.ranks)

    @property
    def sees_devices(self) -> bool:
        """Whether anything is computed elsewhere than on the CPU."""
        return any(device != "cpu" for device in (self.ranks_device, *(device for _, device in self.rows)))
