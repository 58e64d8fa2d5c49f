"""Which settings hold? Written as the ga-lint.toml that would say the same."""

from __future__ import annotations

import json  # TOML's strings, numbers, lists and booleans are JSON's
from collections.abc import Iterator, Mapping

from ga_lint.config import Config
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.scope import Scopes
from ga_lint.engine.select import selected


def written(config: Config) -> str:
    """The settings, after a look whether they can be used."""
    Scopes().of(config)
    return "\n".join(_lines(config)) + "\n"


def _lines(config: Config) -> Iterator[str]:
    yield f"# from {config.source or 'the defaults'}; paths count from {config.root}"
    yield from _keys(
        {
            "select": sorted(selected(known_rules(), config.selections)),
            "exclude": [*config.exclude, *config.extend_exclude],
            "respect-gitignore": config.respect_gitignore,
            "min-confidence": str(config.min_confidence),
        }
    )
    if config.transformers_version:
        yield from _keys({"transformers-version": config.transformers_version})
    else:
        yield "# transformers-version: what the project's own files say"
    if config.per_file_ignores:
        yield "[per-file-ignores]"
        yield from _keys({key: list(value) for key, value in config.per_file_ignores}, quoted=True)
    for table, rows in config.knowledge.items():
        for name, row in rows.items():
            yield f"[knowledge.{table}.{json.dumps(name)}]"
            yield from _keys(row if isinstance(row, Mapping) else {})


def _keys(values: Mapping[str, object], *, quoted: bool = False) -> Iterator[str]:
    for key, value in values.items():
        yield f"{json.dumps(key) if quoted else key} = {json.dumps(value)}"
