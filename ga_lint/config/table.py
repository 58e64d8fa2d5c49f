"""How is a table of settings read, and what does the user read about a mistake in it?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ga_lint.errors import UsageError

_CLAUSE = r"(?:~=|={2,3}|!=|[<>]=?)?\s*v?\d[\w.*+!-]*"
_RELEASES = re.compile(rf"\s*{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*")


class ConfigError(UsageError):
    """A configuration file that cannot be used; `str()` is the whole line."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


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
