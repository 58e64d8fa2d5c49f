"""Does a path match these patterns? gitignore's language, for `exclude`, `per-file-ignores` and .gitignore files."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ga_lint.config import Config, ConfigError, display_path
from ga_lint.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_SPECIAL = frozenset("*?[]!/\\ ")


@functools.cache
def _compiled(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # costs as much as a whole small run

    return GitIgnoreSpec.from_lines(patterns)


def refuse_bad(where: str, patterns: Iterable[str]) -> None:
    """UsageError for the first one that is no pattern. Only what can be wrong is compiled."""
    for pattern in patterns:
        if "[" in pattern or pattern == "!" or pattern.endswith("\\"):
            try:
                _compiled((pattern,))
            except (ValueError, re.error) as error:
                reason = f" ({error})" if isinstance(error, re.error) else ""
                raise UsageError(f"{where}: {pattern!r} is no pattern{reason}; they are those of .gitignore") from None


def refuse_bad_in(config: Config) -> None:
    """ConfigError for a pattern in the configuration's file that is none; those of flags were looked at before."""
    if config.source is None:
        return
    named = {"exclude": (*config.exclude, *config.extend_exclude), "per-file-ignores": dict(config.per_file_ignores)}
    try:
        for key, patterns in named.items():
            refuse_bad(f"tool.ga-lint.{key}", patterns)
    except UsageError as error:
        raise ConfigError(Path(display_path(config.source)), str(error)) from None


def matches(patterns: tuple[str, ...], path: Path, root: Path) -> bool:
    """Whether one of the patterns, counted from `root`, means the path or a folder above it."""
    relative = _below(os.path.abspath(path), str(root))
    return relative is not None and _compiled(patterns).match_file(relative)


class Excludes:
    """The `exclude` and `extend-exclude` of one configuration."""

    def __init__(self, config: Config) -> None:
        """ConfigError where the file has a pattern that is none."""
        refuse_bad_in(config)
        patterns = config.exclude + config.extend_exclude
        self._root = str(config.root)
        self._names = frozenset(pattern for pattern in patterns if _SPECIAL.isdisjoint(pattern))
        self._globs = tuple(pattern for pattern in patterns if not _SPECIAL.isdisjoint(pattern))

    def match(self, path: str, *, is_folder: bool) -> bool:
        """Whether this absolute path itself is excluded."""
        if os.path.basename(path) in self._names:
            return True
        if not self._globs or (relative := _below(path, self._root)) is None:
            return False
        return _compiled(self._globs).match_file(f"{relative}/" if is_folder else relative)

    def match_anywhere(self, path: str) -> bool:
        """Whether this absolute path of a file, or a folder between it and the root, is excluded."""
        if self.match(path, is_folder=False):
            return True
        relative = _below(path, self._root)
        folders = [] if relative is None else relative.split("/")[:-1]
        above = [os.path.join(self._root, *folders[: count + 1]) for count in range(len(folders))]
        return any(self.match(folder, is_folder=True) for folder in above)


class GitIgnores:
    """The .gitignore files from a repository's root down to one folder; the deepest that has an opinion decides."""

    def __init__(self, files: tuple[tuple[str, GitIgnoreSpec], ...] = ()) -> None:
        self._files = files

    @classmethod
    def above(cls, folder: str) -> GitIgnores:
        """Those that hold in `folder`, without its own; none if they ignore the folder, since the user named it."""
        repository = _repository_of(folder)
        if repository is None:
            return cls()
        ignores = cls(_read(repository, os.path.join(".git", "info", "exclude")))
        parts = [] if folder == repository else os.path.relpath(folder, repository).split(os.sep)
        for count in range(len(parts)):
            ignores = ignores.entering(os.path.join(repository, *parts[:count]))
            if ignores.match(os.path.join(repository, *parts[: count + 1]), is_folder=True):
                return cls()
        return ignores

    def entering(self, folder: str) -> GitIgnores:
        """The same with the folder's own .gitignore."""
        own = _read(folder, ".gitignore")
        return GitIgnores((*self._files, *own)) if own else self

    def match(self, path: str, *, is_folder: bool) -> bool:
        """Whether git would ignore this absolute path."""
        for folder, spec in reversed(self._files):
            relative = _below(path, folder)
            if relative is not None:
                verdict = spec.check_file(f"{relative}/" if is_folder else relative).include
                if verdict is not None:
                    return verdict
        return False


def _read(folder: str, name: str) -> tuple[tuple[str, GitIgnoreSpec], ...]:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as file:
            lines = tuple(line for line in file.read().split("\n") if line.strip() and not line.startswith("#"))
    except OSError:
        return ()
    return ((folder, _compiled(_usable(lines))),) if lines else ()


def _usable(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Without what is no pattern: git passes over it too."""
    try:
        _compiled(lines)
        return lines
    except (ValueError, re.error):
        return tuple(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    try:
        refuse_bad("", (line,))
    except UsageError:
        return False
    return True


def _repository_of(folder: str) -> str | None:
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def _below(path: str, folder: str) -> str | None:
    """The path counted from `folder`, with `/`; None when it lies elsewhere."""
    prefix = folder if folder.endswith(os.sep) else folder + os.sep
    return path[len(prefix) :].replace(os.sep, "/") if path.startswith(prefix) else None
