"""What is wrong with a text that somebody else holds (an editor, flake8), under the settings of its own folder?"""

from __future__ import annotations

import os
from pathlib import Path

from ga_lint.config import ConfigError, ConfigFinder, Flags
from ga_lint.engine.check_file import check_source
from ga_lint.engine.patterns import Excludes
from ga_lint.engine.run import collector_paused
from ga_lint.engine.scope import Scope, Scopes
from ga_lint.errors import SourceError
from ga_lint.outcome import Failed, FileOutcome, Skipped, SkipReason
from ga_lint.source import SourceFile


def held(path: Path, text: str) -> SourceFile:
    """The text as the file that it would be, whatever coding line it has."""
    return SourceFile(path, text.encode("utf-8", "surrogatepass"), text, "utf-8", False)


class Checker:
    """Checks texts one by one; what it has read of settings and of other files stays as it was."""

    def __init__(self, flags: Flags | None = None) -> None:
        self._finder = ConfigFinder(flags)
        self._scopes = Scopes()

    def __call__(self, source: SourceFile) -> tuple[FileOutcome, Scope | None]:
        """The outcome, and the scope, None where the settings are wrong. What is excluded is skipped."""
        try:
            scope = self._scopes.of(self._finder.of_folder(source.path.parent))
            excluded = Excludes(scope.config).match_anywhere(os.path.abspath(source.path))
        except ConfigError as error:
            return Failed(source.path, str(error)), None
        if excluded:
            return Skipped(source.path, SkipReason.EXCLUDED), scope
        try:
            with collector_paused():
                return check_source(source, scope), scope
        except SourceError as error:
            return Failed(source.path, str(error)), scope
