"""What does the Trainer of a release do with the loss? Rows of rules/knowledge/releases.toml, read when first asked."""

from __future__ import annotations

import enum
import functools
import re
import tomllib
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from ga_lint.errors import UsageError
from ga_lint.knowledge.rows import row_of
from ga_lint.resources import rules_folder

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_OWN = ("last", "fault", "faulty_for", "fixed_in")  # never taken over from the row above


class CountsFor(enum.Enum):
    """Whose targets are counted."""

    NOBODY = "nobody"
    EVERYBODY = "everybody"
    ACCEPTING = "accepting"
    ACCEPTING_OR_FUNCTION = "accepting or function"


class PassesCount(enum.Enum):
    """Is compute_loss called with num_items_in_batch?"""

    NO = "no"
    YES = "yes"
    INVERTED = "inverted"  # only where the model does not accept it


class AcceptsBy(enum.Enum):
    """Which parameter of its forward makes a model one that accepts loss kwargs."""

    NOTHING = "nothing"
    LOSS_KWARGS = "loss_kwargs"
    KWARGS = "kwargs"


class Divides(enum.Enum):
    """When the Trainer divides the loss by the accumulation steps."""

    NEVER = "never"
    ALWAYS = "always"
    MULTIPLIES = "multiplies"
    UNCOUNTED = "uncounted"
    NOT_ACCEPTING = "not accepting"
    NOT_ACCEPTING_OR_UNCOUNTED = "not accepting or uncounted"


class RankFactor(enum.Enum):
    """Where the Trainer multiplies the loss by the number of ranks."""

    NOWHERE = "nowhere"
    ACCEPTING = "accepting"
    COUNTED = "counted"


class ShiftedCount(enum.Enum):
    """Whose labels are counted without the first."""

    NOBODY = "nobody"
    EVERYBODY = "everybody"
    CAUSAL = "causal"


class LossFunction(enum.Enum):
    """What becomes of an assignment to model.loss_function."""

    NONE = "none"  # nothing reads it
    FIXED = "fixed"  # AttributeError
    SETTABLE = "settable"


class FaultyFor(enum.Enum):
    """Whom a fault of the release itself hits."""

    EVERYBODY = "everybody"
    ACCEPTING_MODELS = "accepting models"
    OTHER_MODELS = "other models"
    TOKEN_LOSSES = "token losses"


class ReleaseRow(Struct, frozen=True):
    """Consecutive releases of transformers whose Trainer treats the loss alike."""

    first: str
    source: str
    counts_for: CountsFor
    passes_count: PassesCount
    accepts_by: AcceptsBy
    accepts_attribute: bool  # is model.accepts_loss_kwargs read?
    divides: Divides
    scaled_attribute: bool  # does loss_is_scaled_for_ga decide it where it is set?
    accelerate_divides: bool
    deepspeed_divides: bool
    rank_factor: RankFactor
    eval_count: bool
    window_length: bool
    shifted_count: ShiftedCount
    smoother_count: bool
    loss_function: LossFunction
    averages_tokens: bool | None = None  # the default; None while there is no such argument
    last: str | None = None  # None: it holds on
    fault: str | None = None
    faulty_for: FaultyFor | None = None
    fixed_in: str | None = None  # the range to require instead

    @property
    def span(self) -> str:
        """As it is written in a message: "4.46.2-4.46.3", "4.55.0 and newer"."""
        if self.last is None:
            return f"{self.first} and newer"
        return self.first if self.first == self.last else f"{self.first}-{self.last}"


class EngineRow(Struct, frozen=True):
    """Releases of DeepSpeed that do something else with the Trainer's loss than the others."""

    first: str
    last: str
    hooks_outputs: bool  # divides the gradient of each output of the forward, whatever it is told
    fault: str
    fixed_in: str
    source: str

    def divisions(self, *, outside: bool) -> int:
        """How often the engine divides by the steps, although the Trainer told it not to.

        A model that computes its loss returns it beside the logits: the gradient runs through both outputs. `outside`:
        the loss is computed from the logits after the forward.
        """
        return int(self.hooks_outputs) * (1 if outside else 2)


class LightningRow(Struct, frozen=True):
    """Consecutive releases of Lightning whose modules have the same hooks."""

    first: str
    step_hook: bool  # does it call on_before_optimizer_step?
    optimizer_index: bool  # is that told which optimizer it is?
    source: str
    last: str | None = None  # None: it holds on


class Releases(Struct, frozen=True, dict=True):
    """The tables: rows from the oldest to the newest, and which releases of transformers there are."""

    rows: tuple[ReleaseRow, ...]
    engines: tuple[EngineRow, ...]
    lightning: tuple[LightningRow, ...]
    known: tuple[str, ...]

    @property
    def newest(self) -> ReleaseRow:
        return self.rows[-1]

    def row(self, version: str) -> ReleaseRow:
        """The row of one release; an older one than the first counts as the first, a newer one as the newest."""
        wanted = release_of(version)
        holding = [row for row, first in zip(self.rows, self._firsts, strict=True) if first <= wanted]
        return holding[-1] if holding else self.rows[0]

    def engine(self, version: str) -> EngineRow | None:
        """The row of that DeepSpeed, None where it does as it is told."""
        wanted = release_of(version)
        return next((row for row in self.engines if release_of(row.first) <= wanted <= release_of(row.last)), None)

    def lightning_row(self, version: str) -> LightningRow:
        """The row of one release of Lightning; an older one than the first counts as the first."""
        wanted = release_of(version)
        return next((row for row in reversed(self.lightning) if release_of(row.first) <= wanted), self.lightning[0])

    @cached_property
    def _firsts(self) -> tuple[tuple[int, ...], ...]:
        return tuple(release_of(row.first) for row in self.rows)


def release_of(version: str) -> tuple[int, ...]:
    """The release numbers of a version, at least three: "v4.46" is (4, 46, 0)."""
    found = _NUMBERS.search(version)
    numbers = tuple(int(part) for part in found.group().split(".")) if found else ()
    return numbers + (0,) * (3 - len(numbers))


@functools.cache
def load_releases() -> Releases:
    """The shipped tables, read once."""
    return read_releases(rules_folder() / "knowledge" / "releases.toml")


def read_releases(path: Path) -> Releases:
    """The tables of one file; UsageError names the row that is wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        known = tuple(document["known"]["releases"].split())
        entries, engines, lightning = document["release"], document["engine"], document["lightning"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(f"{path}: not a table of releases: {error}") from None
    rows: list[ReleaseRow] = []
    numbers = [(release_of(version), version) for version in known]
    merged: dict[str, object] = {}
    for number, entry in enumerate(entries):
        merged = {key: value for key, value in merged.items() if key not in (*_OWN, "source")} | entry
        following = entries[number + 1]["first"] if number + 1 < len(entries) else None
        merged["last"] = _before(following, numbers) if following else None
        rows.append(row_of(ReleaseRow, merged, f"{path.name}: release {entry.get('first', number + 1)}"))
    firsts = [release_of(row.first) for row in rows]
    if firsts != sorted(set(firsts)):
        raise UsageError(f"{path.name}: the rows do not go from the oldest release to the newest")
    return Releases(
        tuple(rows),
        tuple(row_of(EngineRow, entry, f"{path.name}: engine") for entry in engines),
        tuple(row_of(LightningRow, entry, f"{path.name}: lightning") for entry in lightning),
        known,
    )


def _before(version: str, known: list[tuple[tuple[int, ...], str]]) -> str:
    """The last known release before this one."""
    release = release_of(version)
    return max(other for other in known if other[0] < release)[1]
