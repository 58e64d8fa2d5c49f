"""Which file configures a folder, and what does it say?"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection
from pathlib import Path

from ga_lint.config.model import CONFIDENCES, DEFAULT_EXCLUDE, Config, Flags, Selection
from ga_lint.config.table import ConfigError, Table
from ga_lint.diagnostics import Confidence

CONFIG_NAMES = ("ga-lint.toml", "pyproject.toml")  # in one folder, the first that says something wins
_BEGINS = (".git", "pyproject.toml", "setup.py")  # a folder with one of these is where a project begins


class ConfigFinder:
    """The Config of each folder: that of the nearest file above it that has a table for us, under the flags."""

    def __init__(self, flags: Flags | None = None, *, file: Path | None = None, isolated: bool = False) -> None:
        self._flags = flags or Flags()
        self._isolated = isolated
        self._given = read_config(file, root=Path.cwd()) if file is not None else None
        if file is not None and self._given is None:
            raise ConfigError(file, "no [tool.ga-lint] table; add one or name another file with --config")
        self._found: dict[str, Config | ConfigError | None] = {}

    def of_folder(self, folder: Path) -> Config:
        """The settings that hold in `folder`; ConfigError when that file is wrong."""
        absolute = os.path.abspath(folder)
        found = self._given if self._given is not None or self._isolated else self._nearest(absolute)
        if isinstance(found, ConfigError):
            raise found
        return (found or Config(root=Path(project_root(absolute)))).with_flags(self._flags)

    def of_subfolder(self, folder: str, names: Collection[str], above: Config) -> Config:
        """The same for a folder that holds these names, right below one whose settings are `above`."""
        is_part = "__init__.py" in names and not any(name in names for name in (*CONFIG_NAMES, *_BEGINS))
        return above if is_part else self.of_folder(Path(folder))

    def _nearest(self, folder: str) -> Config | ConfigError | None:
        if folder not in self._found:
            parent = os.path.dirname(folder)
            try:
                found = _config_in(folder) or (self._nearest(parent) if parent != folder else None)
            except ConfigError as error:
                found = error
            self._found[folder] = found
        return self._found[folder]


def project_root(folder: str) -> str:
    """Where a folder's project begins when no configuration says so: its repository, else the working folder."""
    return _repository(folder) or _without_repository(folder, os.getcwd())


@functools.cache
def _repository(folder: str) -> str | None:
    if any(os.path.exists(os.path.join(folder, name)) for name in _BEGINS):
        return folder
    parent = os.path.dirname(folder)
    return _repository(parent) if parent != folder else None


def _without_repository(folder: str, here: str) -> str:
    """The working folder if it holds the folder, else what holds the outermost package."""
    if folder == here or folder.startswith(here + os.sep):
        return here
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def _config_in(folder: str) -> Config | None:
    for name in CONFIG_NAMES:
        path = os.path.join(folder, name)
        if os.path.exists(path) and (config := read_config(Path(path), root=Path(folder))) is not None:
            return config
    return None


def read_config(path: Path, *, root: Path) -> Config | None:
    """The settings in one TOML file, or None when it has no table for ga-lint. Patterns count from `root`."""
    shown = Path(display_path(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(shown, f"cannot be read: {error.strerror or error}") from None
    ours_alone = path.name != "pyproject.toml"
    if not ours_alone and b"ga-lint" not in data:
        return None  # spares most runs the TOML parser
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(shown, f"not valid TOML: byte {error.start + 1} is no UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(shown, f"not valid TOML: {error}") from None
    tool = document.get("tool", {})
    table = tool.get("ga-lint") if isinstance(tool, dict) else None
    if table is None:
        if not ours_alone:
            return None
        table = document
    return config_from(Table(shown, "tool.ga-lint", table), path, root)


def config_from(table: Table, path: Path, root: Path) -> Config:
    """The settings in our table; ConfigError for a key that it should not have."""
    selection = Selection(
        select=table.strings("select", ("GA",)),
        ignore=table.strings("ignore"),
        extend_select=table.strings("extend-select"),
    )
    config = Config(
        root=root,
        source=path,
        selections=(selection,),
        exclude=table.strings("exclude", DEFAULT_EXCLUDE),
        extend_exclude=table.strings("extend-exclude"),
        respect_gitignore=table.boolean("respect-gitignore", default=True),
        min_confidence=Confidence[table.choice("min-confidence", CONFIDENCES, default="likely").upper()],
        transformers_version=table.releases("transformers-version"),
        per_file_ignores=tuple(table.table("per-file-ignores").all_strings()),
        knowledge=table.table("knowledge").all_tables(),
    )
    table.refuse_other_keys()
    return config


def display_path(path: str | Path) -> str:
    """The path as it is shown: relative to the working folder where it lies below it."""
    absolute, here = os.path.abspath(path), os.getcwd()
    return absolute[len(here) + 1 :] if absolute.startswith(here + os.sep) else str(path)
