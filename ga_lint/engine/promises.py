"""Can the rewrites be had that a readable report speaks of? Only planning them tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.errors import SourceError
from ga_lint.outcome import FileOutcome, Found
from ga_lint.source import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ga_lint.engine.scope import Scope

# Bytes of the files that promise a rewrite: 0.2 s to import LibCST, then 0.3 s at most. 13 trainers of TRL, of 800 kB
# together, would take 5 s, twice as long as their check.
SHORT = 50_000


class Looked(Struct, frozen=True):
    """A file's outcome as it is told, and as it was found: with what a baseline leaves out."""

    outcome: FileOutcome
    whole: FileOutcome
    scope_of: Callable[[], Scope] | None  # None where nothing was found by a scope; few are asked for theirs


def planned(files: Sequence[Looked], data: bytes | None = None) -> list[FileOutcome]:
    """The outcomes with the edits of each rewrite, or with what is in its way; as they are where the files are long.

    `data`: the text, where it is not what the disk has.
    """
    promising = [one.outcome for one in files if one.scope_of is not None and _promises(one.outcome)]
    if sum(_size(outcome.path, data) for outcome in promising) > SHORT:
        return [one.outcome for one in files]
    return [_planned(one, data) if _promises(one.outcome) else one.outcome for one in files]


def _size(path: Path, data: bytes | None) -> int:
    if data is not None:
        return len(data)
    try:
        return path.stat().st_size
    except OSError:  # it was there a moment ago
        return 0


def _promises(outcome: FileOutcome) -> int:
    """How many of the findings speak of a rewrite that nobody has tried."""
    found = outcome.diagnostics if isinstance(outcome, Found) else ()
    return sum(each.finding.fix is not None and not each.edits and each.finding.fix_refusal is None for each in found)


def _planned(looked: Looked, data: bytes | None) -> FileOutcome:
    from ga_lint.engine.propose import Looks, findings_by, with_edit
    from ga_lint.notebook import read_text

    outcome, whole = looked.outcome, looked.whole
    if looked.scope_of is None or not isinstance(outcome, Found) or not isinstance(whole, Found):
        return outcome
    try:
        source = read_text(outcome.path, read_bytes(outcome.path) if data is None else data)
    except SourceError:  # it was there a moment ago
        return outcome
    check = findings_by(Looks(looked.scope_of()))
    return replace(outcome, diagnostics=tuple(with_edit(source, each, whole, check) for each in outcome.diagnostics))
