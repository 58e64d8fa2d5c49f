"""Which keys can [tool.ga-lint] hold? As a JSON schema, recorded while the settings are read by the real reader."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ga_lint.config import Table, config_from
from ga_lint.knowledge.model import TABLES, Values

Schema = dict[str, object]

DESCRIPTIONS = {
    "select": "Rules to run: codes, prefixes, names or ALL.",
    "ignore": "Rules to leave out; the most specific selector wins.",
    "extend-select": "Rules to run besides the selected ones.",
    "exclude": "gitignore patterns of files and folders to leave out, instead of the default ones.",
    "extend-exclude": "gitignore patterns of files and folders to leave out besides.",
    "respect-gitignore": "Leave out what .gitignore names.",
    "min-confidence": "Leave out findings below it.",
    "transformers-version": "The release of transformers to judge against, as a version or a specifier.",
    "per-file-ignores": "Rules to leave out for files that match a pattern.",
    "knowledge": "What ga-lint is to know of this project's own callables, by their qualified names.",
    "losses": "Callables that compute a loss.",
    "trainers": "Classes that reach transformers' Trainer.",
    "collators": "Collators, and what they do with targets.",
}


def schema() -> Schema:
    """The schema of the table, for editors and for SchemaStore."""
    recorder = _Recorder("tool.ga-lint")
    config_from(recorder, Path(), Path())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://github.com/ga-lint/ga-lint/blob/main/ga_lint/ga-lint.schema.json",
        "title": "[tool.ga-lint] in pyproject.toml, or ga-lint.toml",
        **recorder.schema(),
    }


class _Recorder(Table):
    """A table without keys that remembers what it was asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(Path(), name, {})
        self._properties: dict[str, Schema] = {}
        self._others: Schema | bool = False

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self._others, "properties": self._properties}

    def _record(self, key: str, **schema: object) -> None:
        self._properties[key] = {"description": DESCRIPTIONS[key], **schema}

    def strings(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        self._record(key, type="array", items={"type": "string"}, default=list(default))
        return default

    def text(self, key: str) -> str | None:
        self._record(key, type="string")
        return None

    def choice(self, key: str, choices: tuple[str, ...], *, default: str) -> str:
        self._record(key, enum=list(choices), default=default)
        return default

    def boolean(self, key: str, *, default: bool) -> bool:
        self._record(key, type="boolean", default=default)
        return default

    def table(self, key: str) -> Table:
        inner = _Recorder(key)
        if key == "per-file-ignores":
            inner._others = {"type": "array", "items": {"type": "string"}}
        elif key == "knowledge":
            inner._properties = {name: _rows(name) for name in TABLES}
        self._record(key, **inner.schema())
        return inner


def _rows(table: str) -> Schema:
    properties = {key: _value(values) for key, values in TABLES[table].keys.items()}
    row: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {
        "description": DESCRIPTIONS[table],
        "type": "object",
        "propertyNames": {"pattern": "\\."},
        "additionalProperties": row,
    }


def _value(values: Values) -> Schema:
    if isinstance(values, tuple):
        return {"enum": list(values)}
    return {"type": "integer" if cast("object", values) is int else "string"}
