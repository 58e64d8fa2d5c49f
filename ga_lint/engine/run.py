"""What does the whole run say? Every file in turn, each outcome in its place."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ga_lint.config import ConfigError, ConfigFinder
from ga_lint.engine.discover import Discovered, Target, discover
from ga_lint.engine.finish import Examined, Wanted, finished
from ga_lint.engine.look import Look, Looker
from ga_lint.outcome import Failed, FileOutcome, Report

if TYPE_CHECKING:
    from ga_lint.engine.cache import Cache
    from ga_lint.engine.scope import Scope

    # The file, its bytes, its scope, and whether it is parsed as a whole even if no rule applies to it.
    Visit = Callable[[Path, bytes, Scope, bool], FileOutcome]

SMALL = 1_000_000  # bytes of source that are parsed in 0.07 s
SHARED = 250_000  # bytes of source; for less, copies of the process cost more than they bring
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
        looker = _looker(found)

        def outcome_of(target: Target) -> FileOutcome:
            read = looker.read(target)
            if isinstance(read, Failed):
                return read
            scope, data = read
            return visit(target.path, data, scope, looker.parses_whole(target))

        def outcomes() -> Iterator[FileOutcome]:
            for count, item in enumerate(found):
                if progress is not None:
                    progress(count, len(found))
                yield outcome_of(item) if isinstance(item, Target) else item

        return _report(outcomes())


def _looker(found: Sequence[Discovered]) -> Looker:
    """Of a little code all of it can be parsed, also what no rule applies to."""
    return Looker(not _exceeds(SMALL, found))


def _report(outcomes: Iterable[FileOutcome]) -> Report:
    kept: list[FileOutcome] = []
    for outcome in outcomes:
        if isinstance(outcome, Failed) and outcome in kept[-1:]:
            continue  # a wrong configuration is told once, not for every file below it
        kept.append(outcome)
    return Report(kept, notes=() if kept else ("no Python files found",))


def visit_text(path: Path, data: bytes, finder: ConfigFinder, visit: Visit) -> Report:
    """The same for a text that need not be on disk, under the path that it would have."""
    from ga_lint.engine.scope import Scopes

    try:
        scope = Scopes().of(finder.of_folder(path.parent))
    except ConfigError as error:
        return Report([Failed(error.path, error.reason)])
    return Report([visit(path, data, scope, True)])


def check(
    paths: Sequence[Path],
    finder: ConfigFinder,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    *,
    force_exclude: bool = False,
    progress: Progress | None = None,
    jobs: int = 1,
    cache: Cache | None = None,
) -> Report:
    """Check every Python file below the paths, by as many processes as it pays to have."""
    with collector_paused():
        found = discover(paths, finder, force_exclude=force_exclude)
        looker = _looker(found)
        targets = [item for item in found if isinstance(item, Target)]
        known = cache.known(targets, looker) if cache is not None else {}
        todo = [index for index in range(len(targets)) if index not in known]
        looks = _looks([targets[index] for index in todo], looker, jobs, progress)
        fresh = {todo[index]: look for index, look in looks.items()}
        if cache is not None:
            cache.keep(targets, looker, fresh)
        outcomes = iter([known[index] if index in known else fresh[index].outcome for index in range(len(targets))])

        def examined() -> Iterator[Examined]:
            for item in found:
                if not isinstance(item, Target):
                    yield Examined(item)
                    continue
                outcome = next(outcomes)  # of another path: that of a wrong configuration
                scope_of = functools.partial(looker.scope_of, item)
                yield Examined(outcome, scope_of if outcome.path == item.path else None)

        return _report(finished(examined(), wanted))


def _looks(targets: Sequence[Target], looker: Looker, jobs: int, progress: Progress | None) -> Mapping[int, Look]:
    if jobs > 1 and len(targets) > 1 and _exceeds(SHARED, targets):
        from ga_lint.engine import workers

        if workers.available():
            return workers.looks(targets, looker, jobs, lambda done: progress(done, len(targets)) if progress else None)
    looks: dict[int, Look] = {}
    for count, target in enumerate(targets):
        if progress is not None:
            progress(count, len(targets))
        looks[count] = looker.at(target)
    return looks


def check_text(path: Path, data: bytes, finder: ConfigFinder, wanted: Wanted = Wanted()) -> Report:  # noqa: B008
    """Check one text under the path that it would have."""
    from ga_lint.engine.check_file import check_bytes

    def visit(path: Path, data: bytes, scope: Scope, whole: bool) -> FileOutcome:
        outcome = check_bytes(path, data, scope, whole=whole)
        return finished([Examined(outcome, lambda: scope)], wanted, data)[0]

    return visit_text(path, data, finder, visit)


def _exceeds(size: int, found: Iterable[Discovered]) -> bool:
    """Are these files, taken together, larger than so many bytes?"""
    for item in found:
        if isinstance(item, Target):
            with contextlib.suppress(OSError):  # told when it is read
                size -= os.stat(item.path).st_size
        if size < 0:
            return True
    return False


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
