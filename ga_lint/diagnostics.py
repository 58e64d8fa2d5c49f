"""What do we tell the user? The types of a finding, from the rule that makes it to the report that prints it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from ga_lint.compared import Compared
from ga_lint.source import Edit, Span, cell_prefix


class Severity(enum.Enum):
    """How much harm it does: a crash or a wrong scale, wrong weights, or neither."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Confidence(enum.IntEnum):
    """How much of the reasoning was read in code, and how much rests on a convention or a guess."""

    POSSIBLE = 1
    LIKELY = 2
    CERTAIN = 3

    def __str__(self) -> str:
        return self.name.lower()


class FixTier(enum.Enum):
    """Who may write the rewrite: anybody, who asks for it, or nobody."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    DISPLAY = "display"


class EffectKind(enum.Enum):
    """What becomes of the gradient, or of the run."""

    SCALE = "scale"
    WEIGHTS = "weights"
    TYPE_ERROR = "TypeError"
    LOG_ONLY = "log"


class Effect(Struct, frozen=True):
    """What the fault does.

    `factor` is symbolic ("GAS", "1/N", "GAS*N"); `value` is its number where it is literal in the code (8.0).
    """

    kind: EffectKind
    message: str
    factor: str | None = None
    value: float | None = None
    on_ranks: bool = False  # a part of it shows on several ranks only
    mean_of_means: bool = False  # a target's weight depends on its micro-batch


class Step(Struct, frozen=True):
    """One link of the reasoning, with the place where it was read."""

    message: str
    path: Path
    span: Span
    cell: int | None = None  # of the notebook that is checked


class FixRequest(Struct, frozen=True):
    """What a fixer is asked to do. The rule has decided; the fixer only edits.

    `targets` names the places (a role, then its span); `options` holds the texts that the fixer needs. Which roles
    and options there are stands in the fixer's own module.
    """

    fixer: str
    tier: FixTier
    summary: str
    targets: tuple[tuple[str, Span], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    also: tuple[FixRequest, ...] = ()  # what must be in the same edit, since neither half is right alone
    otherwise: FixRequest | None = None  # what heals less, where this one turns out not to be applicable

    @property
    def parts(self) -> tuple[FixRequest, ...]:
        """This request, then those that go with it."""
        return (self, *(part for each in self.also for part in each.parts))

    @property
    def target_by_role(self) -> Mapping[str, Span]:
        return dict(self.targets)

    @property
    def option_by_name(self) -> Mapping[str, str]:
        return dict(self.options)


class Finding(Struct, frozen=True):
    """One fault at one place, as a rule states it."""

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    message: str
    span: Span
    label: str  # what the underlined text is: "reduced to a mean here"
    effect: Effect
    scope: str  # qualified name of the enclosing function, "" at module level
    trace: tuple[Step, ...] = ()
    fix: FixRequest | None = None
    fix_refusal: str | None = None  # why there is no rewrite, when there is none


class Diagnostic(Compared, frozen=True):
    """A finding in its file, ready to be printed: suppressions are settled, places are final."""

    beside = frozenset(("text", "in_module"))

    path: Path
    finding: Finding
    fingerprint: str
    noqa_row: int  # the row where a suppression comment would go
    source_line: str
    context: tuple[tuple[int, str], ...] = ()  # rows near it that its trace speaks of, with their lines
    cell: int | None = None  # in a notebook, where all rows are rows of this cell
    edits: tuple[Edit, ...] = ()
    verified: str | None = None  # the numeric check's verdict on the rewrite
    text: str | None = None  # the whole file, where its rows are the file's
    in_module: Finding | None = None  # in a notebook: by the module's rows

    def __str__(self) -> str:
        """Place, rule and message in a line, as `--output-format concise` has them."""
        return f"{self.place}: {self.finding.code} [{self.finding.name}] {self.finding.message}"

    @property
    def place(self) -> str:
        """`path:row:column`, in a notebook `path:cell 3:row:column`."""
        start = self.finding.span.start
        return f"{self.path}:{cell_prefix(self.cell)}{start.row}:{start.column}"

    @property
    def stated(self) -> Finding:
        """The finding as the rule stated it: its places are those of the file's text."""
        return self.in_module or self.finding

    @property
    def rewrite(self) -> FixRequest | None:
        """A rewrite that was refused is none, unless `fix` only left it to the user: then it has edits."""
        refused = self.finding.fix_refusal is not None and not self.edits
        return None if refused else self.finding.fix

    @property
    def has_untried_rewrite(self) -> bool:
        """Is there a rewrite that nobody has planned yet, so that nothing is known to be in its way?"""
        return self.finding.fix is not None and not self.edits and self.finding.fix_refusal is None

    @property
    def rows_above(self) -> int:
        """How many rows of the file's text stand above the part of it that the finding counts its rows in."""
        return self.stated.span.start.row - self.finding.span.start.row
