"""Which files were parsed lately? The bound on what a run holds in memory, however many projects it goes through."""

from __future__ import annotations

from pathlib import Path

from ga_lint.errors import SourceError
from ga_lint.source import read_source
from ga_lint.syntax.parsed import ParsedFile, ParseFailure, parse

MAX_FILES = 32  # a file and all that it leads to are fewer


class Trees:
    """The trees of files that are imported, by their real paths; None for what is no Python."""

    def __init__(self) -> None:
        self._files: dict[Path, ParsedFile | None] = {}
        self._whole: set[Path] = set()  # files of which the outline does not say how they go on

    def read(self, real: Path, path: Path) -> ParsedFile | None:
        """The file under this path, parsed body by body as it is looked into."""
        if real in self._files:
            self._files[real] = found = self._files.pop(real)  # the one that was used last
            return found
        try:
            parsed = parse(read_source(path), lazily=real not in self._whole)
        except (SourceError, ParseFailure):
            parsed = None
        self.keep(real, parsed)
        return parsed

    def keep(self, real: Path, parsed: ParsedFile | None) -> None:
        """Remember a file, and forget the one that was not used for longest when there are too many."""
        self._files.pop(real, None)
        self._files[real] = parsed
        if len(self._files) > MAX_FILES:
            del self._files[next(iter(self._files))]

    def forget(self, real: Path) -> None:
        self._files.pop(real, None)

    def read_whole(self, real: Path) -> None:
        """Parse this file wholly from now on: one of its bodies was not what its lines look like."""
        self._whole.add(real)
        self.forget(real)
