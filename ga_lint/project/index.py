"""Which file holds the module that is imported here?"""

from __future__ import annotations

from pathlib import Path

from ga_lint.errors import SourceError
from ga_lint.source import read_source
from ga_lint.syntax.parsed import ParsedFile, ParseFailure, parse


class Project:
    """The files of one repository, parsed on demand. `root` bounds what is read."""

    def __init__(self, root: Path, transformers_version: str | None = None) -> None:
        self.root = root
        self.transformers_version = transformers_version
        self._files: dict[Path, ParsedFile | None] = {}

    def add(self, parsed: ParsedFile) -> None:
        """Make a file that is already parsed known under its path (editors, unsaved text)."""
        self._files[parsed.path.resolve()] = parsed

    def file(self, path: Path) -> ParsedFile | None:
        """The parsed file, or None when it is missing or is not Python."""
        key = path.resolve()
        if key not in self._files:
            try:
                self._files[key] = parse(read_source(path))
            except (SourceError, ParseFailure):
                self._files[key] = None
        return self._files[key]
