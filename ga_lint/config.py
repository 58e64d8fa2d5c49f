"""What did the project and the command line ask for? One frozen Config for each folder that has a say."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ga_lint.diagnostics import Confidence
from ga_lint.errors import UsageError

# ruff's list and our own cache. Plain names, so that the usual run needs no pattern library.
DEFAULT_EXCLUDE = (
    ".bzr", ".direnv", ".eggs", ".ga_lint_cache", ".git", ".git-rewrite", ".hg", ".ipynb_checkpoints", ".mypy_cache",
    ".nox", ".pants.d", ".pyenv", ".pytest_cache", ".pytype", ".ruff_cache", ".svn", ".tox", ".venv", ".vscode",
    "__pycache__", "__pypackages__", "_build", "buck-out", "build", "dist", "node_modules", "site-packages", "venv",
)  # fmt: skip
CONFIDENCES = tuple(str(confidence) for confidence in Confidence)
_CLAUSE = r"(?:~=|={2,3}|!=|[<>]=?)?\s*v?\d[\w.*+!-]*"
_RELEASES = re.compile(rf"\s*{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*")
CONFIG_NAMES = ("ga-lint.toml", "pyproject.toml")  # in one folder, the first that says something wins


@dataclass(frozen=True, slots=True)
class Selection:
    """One layer of rule selectors; `select` replaces what the layers before it chose, None leaves it."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says about settings that a file can hold too; None where it is silent."""

    selection: Selection = Selection()
    exclude: tuple[str, ...] | None = None
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool | None = None
    min_confidence: Confidence | None = None
    transformers_version: str | None = None
    ignore_suppressions: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """The settings for the files below one folder."""

    root: Path  # patterns and fingerprints are relative to it; nothing outside it is read
    source: Path | None = None  # the file they come from
    selections: tuple[Selection, ...] = (Selection(select=("GA",)),)
    exclude: tuple[str, ...] = DEFAULT_EXCLUDE
    extend_exclude: tuple[str, ...] = ()
    respect_gitignore: bool = True
    min_confidence: Confidence = Confidence.LIKELY
    transformers_version: str | None = None  # None: what the project's own files say
    per_file_ignores: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ignore_suppressions: bool = False  # look behind the comments; no file can ask for that
    knowledge: Mapping[str, Mapping[str, object]] = field(default_factory=dict, hash=False)

    def with_flags(self, flags: Flags) -> Config:
        """The same settings under the command line's."""
        return replace(
            self,
            selections=(*self.selections, flags.selection),
            exclude=self.exclude if flags.exclude is None else flags.exclude,
            extend_exclude=self.extend_exclude + flags.extend_exclude,
            respect_gitignore=self.respect_gitignore if flags.respect_gitignore is None else flags.respect_gitignore,
            min_confidence=self.min_confidence if flags.min_confidence is None else flags.min_confidence,
            transformers_version=flags.transformers_version or self.transformers_version,
            ignore_suppressions=flags.ignore_suppressions,
        )


class ConfigError(UsageError):
    """A configuration file that cannot be used; `str()` is the whole line."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


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
    if any(os.path.exists(os.path.join(folder, name)) for name in (".git", "pyproject.toml", "setup.py")):
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


class Table:
    """A TOML table whose keys are known by being asked for."""

    def __init__(self, path: Path, name: str, table: object) -> None:
        self._path, self._name = path, name
        self._asked: list[str] = []
        if not isinstance(table, dict):
            raise ConfigError(path, f"{name} must be a table")
        self._table: dict[str, object] = table

    def _get(self, key: str) -> object:
        self._asked.append(key)
        return self._table.get(key)

    def _wrong(self, key: str, wanted: str) -> ConfigError:
        return ConfigError(self._path, f"{self._name}.{key} must be {wanted}")

    def strings(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of strings")
        return tuple(value)

    def text(self, key: str) -> str | None:
        value = self._get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def releases(self, key: str) -> str | None:
        value = self.text(key)
        if value is not None and not names_releases(value):
            raise self._wrong(key, RELEASES_WANTED)
        return value

    def choice(self, key: str, choices: tuple[str, ...], *, default: str) -> str:
        value = self._get(key)
        if value is not None and value not in choices:
            raise self._wrong(key, f"one of {', '.join(choices)}")
        return str(value or default)

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return default if value is None else value

    def table(self, key: str) -> Table:
        value = self._get(key)
        return Table(self._path, f"{self._name}.{key}", {} if value is None else value)

    def all_strings(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(key, self.strings(key)) for key in self._table]

    def all_tables(self) -> dict[str, Mapping[str, object]]:
        return {key: self.table(key)._table for key in self._table}

    def refuse_other_keys(self) -> None:
        for key in self._table.keys() - set(self._asked):
            raise ConfigError(self._path, f"[{self._name}] has no key {key!r}{nearest(key, self._asked)}")


RELEASES_WANTED = "a release, as 4.53.3, or a range, as '>=4.46,<4.54'"


def names_releases(text: str) -> bool:
    """Is it one release or a range of them?"""
    return _RELEASES.fullmatch(text) is not None


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error line: the known word that was probably meant, or all of them."""
    import difflib  # only a mistake needs it

    words = list(known)
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(words)}"


def display_path(path: str | Path) -> str:
    """The path as it is shown: relative to the working folder where it lies below it."""
    absolute, here = os.path.abspath(path), os.getcwd()
    return absolute[len(here) + 1 :] if absolute.startswith(here + os.sep) else str(path)
