"""What does the whole run say? Every file in turn, each outcome in its place."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ga_lint.config import ConfigError, ConfigFinder
from ga_lint.engine.check_file import check_bytes
from ga_lint.engine.discover import Discovered, Target, discover
from ga_lint.engine.known import Known, known_among, without
from ga_lint.engine.scope import Scope, Scopes
from ga_lint.errors import SourceError
from ga_lint.notebook import read_text
from ga_lint.outcome import Failed, FileOutcome, Found, Report
from ga_lint.source import read_bytes

PROPOSED = 100  # findings whose rewrites a machine format holds: 20 ms each in a script, 0.5 s in a file of 5,000 lines
SMALL = 1_000_000  # bytes of source that are parsed in 0.07 s
Visit = Callable[[Path, bytes, Scope, bool], FileOutcome]  # the file, its bytes, its scope, whether it was named
Progress = Callable[[int, int], None]  # files done, files in all


def visit_files(
    paths: Sequence[Path],
    finder: ConfigFinder,
    visit: Visit,
    *,
    force_exclude: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Have every Python file below the paths visited. No file, and no wrong configuration, stops the others."""
    with collector_paused():
        found = discover(paths, finder, force_exclude=force_exclude)
        small = _is_small(found)
        scopes = Scopes()
        outcomes: list[FileOutcome] = []
        for count, item in enumerate(found):
            if progress is not None:
                progress(count, len(found))
            outcome = _visit(item, scopes, small, visit) if isinstance(item, Target) else item
            if outcome not in outcomes[-1:]:  # a wrong configuration is told once, not for every file below it
                outcomes.append(outcome)
    return Report(outcomes, notes=() if found else ("no Python files found",))


def _visit(target: Target, scopes: Scopes, small: bool, visit: Visit) -> FileOutcome:
    try:
        scope = scopes.of(target.config)
        data = read_bytes(target.path)
    except ConfigError as error:
        return Failed(error.path, f"{error.reason}; nothing below it was checked")
    except SourceError as error:
        return Failed(target.path, str(error))
    return visit(target.path, data, scope, small or target.named)


def visit_text(path: Path, data: bytes, finder: ConfigFinder, visit: Visit) -> Report:
    """The same for a text that need not be on disk, under the path that it would have."""
    try:
        scope = Scopes().of(finder.of_folder(path.parent))
    except ConfigError as error:
        return Report([Failed(error.path, error.reason)])
    return Report([visit(path, data, scope, True)])


def check(
    paths: Sequence[Path],
    finder: ConfigFinder,
    visit: Visit | None = None,
    *,
    force_exclude: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Check every Python file below the paths."""
    return visit_files(paths, finder, visit or checking(), force_exclude=force_exclude, progress=progress)


def check_text(path: Path, data: bytes, finder: ConfigFinder, visit: Visit | None = None) -> Report:
    """Check one text under the path that it would have."""
    return visit_text(path, data, finder, visit or checking())


def checking(*, edits: bool = False, known: Sequence[Known] = ()) -> Visit:
    """How `check` looks at a file: with the edits of its rewrites if they are asked for, without what is known.

    A rewrite is proved by another look at the file, so only the first `PROPOSED` findings of a run get theirs.
    """
    left = PROPOSED

    def visit(path: Path, data: bytes, scope: Scope, named: bool) -> FileOutcome:
        outcome = check_bytes(path, data, scope, named=named)
        nonlocal left
        if edits and left > 0 and isinstance(outcome, Found):
            from ga_lint.engine.propose import findings_by, with_edits

            left -= len(outcome.diagnostics)
            outcome = with_edits(read_text(path, data), outcome, findings_by(scope))
        return without(outcome, known_among(known, outcome, scope)) if known else outcome

    return visit


def _is_small(found: Sequence[Discovered]) -> bool:
    """Whether there is so little code that all of it can be parsed, also what no rule applies to."""
    size = 0
    for item in found:
        if isinstance(item, Target):
            with contextlib.suppress(OSError):  # told when it is read
                size += os.stat(item.path).st_size
        if size > SMALL:
            return False
    return True


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: trees are big and hold no cycles, and looking for some doubles parsing time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
