"""What does a look at one file give, and what did it depend on? The unit that processes share and the cache keeps."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.config import ConfigError
from ga_lint.engine.discover import Target
from ga_lint.errors import SourceError
from ga_lint.outcome import Failed, FileOutcome
from ga_lint.source import read_bytes
from ga_lint.trail import recording

if TYPE_CHECKING:
    from ga_lint.engine.scope import Scope, Scopes


class Look(Struct, frozen=True):
    """One file's outcome, and every other place that it could come out otherwise for."""

    outcome: FileOutcome
    places: frozenset[str] = frozenset()


class Looker:
    """Looks at files, one after another; `parses_all`: there is so little code that all of it can be parsed."""

    def __init__(self, parses_all: bool) -> None:
        self.parses_all = parses_all

    @cached_property
    def scopes(self) -> Scopes:
        """What the files share; a run of which everything is known needs none of it."""
        from ga_lint.engine.scope import Scopes

        return Scopes()

    def scope_of(self, target: Target) -> Scope:
        """What the look at this file goes by; ConfigError where its configuration is wrong."""
        return self.scopes.of(target.config)

    def parses_whole(self, target: Target) -> bool:
        """Is the file parsed even if no rule applies to it?"""
        return self.parses_all or target.named

    def read(self, target: Target) -> tuple[Scope, bytes] | Failed:
        """What the look goes by and the file's bytes, or why they cannot be had."""
        try:
            return self.scope_of(target), read_bytes(target.path)
        except ConfigError as error:
            return Failed(error.path, f"{error.reason}; nothing below it was checked")
        except SourceError as error:
            return Failed(target.path, str(error))

    def at(self, target: Target) -> Look:
        """What this file says, by the configuration that holds for it."""
        from ga_lint.engine.check_file import check_bytes

        found = self.read(target)
        if isinstance(found, Failed):
            return Look(found)
        scope, data = found
        with recording() as places:
            outcome = check_bytes(target.path, data, scope, whole=self.parses_whole(target))
        scope.project.forget(target.path)  # a whole tree is large, and few files are imported by another
        return Look(outcome, frozenset(places))


def prepare(targets: Iterable[Target], looker: Looker) -> None:
    """Load what every process will need, before there are several."""
    from ga_lint.facts import extract  # noqa: F401
    from ga_lint.knowledge import load

    load()
    for config in {target.config for target in targets}:
        try:
            _ = looker.scopes.of(config).prefilter
        except ConfigError:
            continue  # told of each file that it is about


def failed_in_worker(path: Path) -> Look:
    """A file that took its process with it."""
    return Look(Failed(path, "its analysis ended the process (out of memory, or nested too deeply); exclude it"))
