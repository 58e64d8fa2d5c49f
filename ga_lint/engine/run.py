"""What does the whole run say? Every file in turn, each outcome in its place."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.config import ConfigError, ConfigFinder
from ga_lint.engine.discover import Discovered, Target, discover
from ga_lint.engine.known import Known, known_among, without
from ga_lint.engine.look import Look, Looker
from ga_lint.engine.promises import Looked, planned
from ga_lint.outcome import Failed, FileOutcome, Found, Report
from ga_lint.source import read_bytes

if TYPE_CHECKING:
    from ga_lint.engine.cache import Cache
    from ga_lint.engine.scope import Scope
    from ga_lint.source import SourceFile

    Visit = Callable[[Path, bytes, Scope, bool], FileOutcome]  # the file, its bytes, its scope, whether it was named
    Finish = Callable[[FileOutcome, Scope], FileOutcome]

PROPOSED = 100  # findings whose rewrites a machine format holds: 20 ms each in a script, 0.5 s in a file of 5,000 lines
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
            return read if isinstance(read, Failed) else visit(target.path, read[1], read[0], looker.whole(target))

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
    finish: Finish | None = None,
    *,
    force_exclude: bool = False,
    progress: Progress | None = None,
    jobs: int = 1,
    cache: Cache | None = None,
    plan: bool = False,
) -> Report:
    """Check every Python file below the paths, by as many processes as it pays to have.

    `finish` has the last word on each; `plan`: where few rewrites are spoken of, only of those that can be had.
    """
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
        done = iter([known[index] if index in known else fresh[index].outcome for index in range(len(targets))])

        def looked() -> Iterator[Looked]:
            for item in found:
                whole = outcome = next(done) if isinstance(item, Target) else item
                scope_of = None
                if isinstance(item, Target) and outcome.path == item.path:
                    scope_of = functools.partial(looker.scope_of, item)
                    outcome = finish(outcome, scope_of()) if finish is not None else outcome
                yield Looked(outcome, whole, scope_of)

        return _report(planned(list(looked())) if plan else (one.outcome for one in looked()))


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


def check_text(
    path: Path, data: bytes, finder: ConfigFinder, finish: Finish | None = None, *, plan: bool = False
) -> Report:
    """Check one text under the path that it would have."""
    from ga_lint.engine.check_file import check_bytes

    def visit(path: Path, data: bytes, scope: Scope, named: bool) -> FileOutcome:
        whole = check_bytes(path, data, scope, named=named)
        outcome = finish(whole, scope) if finish is not None else whole
        return planned([Looked(outcome, whole, lambda: scope)], data)[0] if plan else outcome

    return visit_text(path, data, finder, visit)


def finishing(*, edits: bool = False, known: Sequence[Known] = (), data: bytes | None = None) -> Finish | None:
    """What `check` adds to an outcome: the edits of its rewrites if they are asked for; what is known goes.

    A rewrite is proved by another look at the file, so only the first `PROPOSED` findings of a run get theirs.
    `data`: the text, where it is not what the disk has.
    """
    if not edits and not known:
        return None
    left = PROPOSED

    def finish(outcome: FileOutcome, scope: Scope) -> FileOutcome:
        nonlocal left
        if edits and isinstance(outcome, Found):
            from ga_lint.notebook import read_text

            source = read_text(outcome.path, read_bytes(outcome.path) if data is None else data)
            outcome = _with_text(outcome, source)
            if left > 0:
                from ga_lint.engine.propose import Looks, findings_by, with_edits

                left -= len(outcome.diagnostics)
                outcome = with_edits(source, outcome, findings_by(Looks(scope)))
        return without(outcome, known_among(known, outcome, scope)) if known else outcome

    return finish


def _with_text(outcome: Found, source: SourceFile) -> Found:
    """The findings with the text that they are about, which neither travels nor is kept."""
    from ga_lint.notebook import NotebookSource

    if isinstance(source, NotebookSource):
        return outcome
    return replace(outcome, diagnostics=tuple(replace(each, text=source.text) for each in outcome.diagnostics))


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
