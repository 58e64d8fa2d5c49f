"""Which files are meant? From the paths on the command line to files with their settings, in order."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from ga_lint.config import Config, ConfigError, ConfigFinder, display_path
from ga_lint.engine.patterns import Excludes, GitIgnores
from ga_lint.notebook import SUFFIX as NOTEBOOK
from ga_lint.outcome import Failed, Skipped, SkipReason


class Target(Struct, frozen=True):
    """A file to look at; `named` when the user named it, not a folder above it."""

    path: Path
    config: Config
    named: bool


Discovered = Target | Skipped | Failed


def discover(paths: Sequence[Path], finder: ConfigFinder, *, force_exclude: bool = False) -> list[Discovered]:
    """Everything below the paths that is Python, each file once, sorted; what cannot be looked at says why."""
    found: dict[str, Discovered] = {}
    for path in paths:
        for absolute, discovered in _below(path, finder, force_exclude):
            if absolute not in found or getattr(discovered, "named", False):
                found[absolute] = discovered
    return [found[absolute] for absolute in sorted(found)]


def _below(path: Path, finder: ConfigFinder, force_exclude: bool) -> Iterator[tuple[str, Discovered]]:
    absolute = os.path.abspath(path)
    if os.path.isdir(absolute):
        yield from _walk(absolute, finder, force_exclude)
    elif os.path.lexists(absolute):
        yield _named(path, absolute, finder, force_exclude)
    else:
        yield absolute, Failed(path, "no such file or folder")


def _named(path: Path, absolute: str, finder: ConfigFinder, force_exclude: bool) -> tuple[str, Discovered]:
    try:
        config = finder.of_folder(Path(absolute).parent)
        excluded = force_exclude and _excludes(config).match_anywhere(absolute)
    except ConfigError as error:
        return _broken_config(error)
    shown = Path(display_path(path))
    if excluded:
        return absolute, Skipped(shown, SkipReason.EXCLUDED)
    match os.path.splitext(absolute)[1]:
        case ".pyi":
            return absolute, Skipped(shown, SkipReason.STUB)
        case _:
            return absolute, Target(shown, config, named=True)


def _walk(top: str, finder: ConfigFinder, force_exclude: bool) -> Iterator[tuple[str, Discovered]]:
    todo: list[tuple[str, Config | None, GitIgnores | None]] = [(top, None, None)]
    while todo:
        folder, outer, above = todo.pop()
        try:
            entries = {entry.name: entry for entry in os.scandir(folder)}
            config = finder.of_subfolder(folder, entries, outer) if outer else finder.of_folder(Path(folder))
            excludes = _excludes(config)
        except ConfigError as error:
            yield _broken_config(error)
            continue
        except OSError as error:
            yield folder, Failed(Path(display_path(folder)), f"cannot be listed: {error.strerror}")
            continue
        if folder == top and force_exclude and excludes.match_anywhere(folder):
            continue
        ignores = GitIgnores()
        if config.respect_gitignore:
            ignores = (GitIgnores.above(folder) if above is None else above).entering(folder)
        shown = os.path.join(display_path(folder), "")
        if folder == os.getcwd():
            shown = ""
        for _, entry in sorted(entries.items()):
            is_folder = entry.is_dir(follow_symlinks=False)  # a link to a folder may lead back up
            if not is_folder and not _is_python(entry):
                continue
            if excludes.match(entry.path, is_folder=is_folder) or ignores.match(entry.path, is_folder=is_folder):
                continue
            if is_folder:
                todo.append((entry.path, config, ignores))
            else:
                yield entry.path, Target(Path(shown + entry.name), config, named=False)


def _is_python(entry: os.DirEntry[str]) -> bool:
    # Emacs' lock files, `.#train.py`, are links to nowhere. A link to itself is an error for DirEntry.is_dir.
    is_named_so = entry.name.endswith((".py", NOTEBOOK)) and not entry.name.startswith(".#")
    return is_named_so and not (entry.is_symlink() and os.path.isdir(entry.path))  # no folder itself: asked before


@functools.cache
def _excludes(config: Config) -> Excludes:
    return Excludes(config)


def _broken_config(error: ConfigError) -> tuple[str, Failed]:
    """The wrong file stands for everything below it, and is told once."""
    failed = Failed(error.path, f"{error.reason}; nothing below it was checked")
    return os.path.abspath(error.path), failed
