"""How does each format write that a library is required? One reader for each; a broken file says nothing."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ga_lint.project.requirement import (
    Requirement,
    conda_specifier,
    pip_specifier,
    poetry_specifier,
    same_library,
)
from ga_lint.source import Position, Span, unremarked

_LISTS = (
    "project.dependencies",
    "project.optional-dependencies.*",
    "dependency-groups.*",
    "tool.uv.dev-dependencies",
    "tool.uv.constraint-dependencies",
    "tool.uv.override-dependencies",
    "tool.pdm.dev-dependencies.*",
    "tool.hatch.envs.*.dependencies",
)


_TABLES = (
    "tool.poetry.dependencies",
    "tool.poetry.dev-dependencies",
    "tool.poetry.group.*.dependencies",
    "packages",  # of a Pipfile
    "dev-packages",
)


_OPTIONS = ("install_requires", "setup_requires", "tests_require")


class File:
    """One file's text, and requirements found in it."""

    def __init__(self, path: Path, text: str, library: str) -> None:
        self.path, self.text, self.library = path, text, library

    def requirement(self, start: int, text: str, specifier: str, *, locked: bool = False) -> Requirement:
        row = self.text.count("\n", 0, start) + 1
        column = start - self.text.rfind("\n", 0, start)
        span = Span(Position(row, column), Position(row, column + len(text)))
        return Requirement(text, specifier, self.path, span, locked)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line and where it starts."""
        start = 0
        for line in self.text.split("\n"):
            yield start, line
            start += len(line) + 1

    def of_text(self, start: int, text: str, specifier: str | None) -> Iterator[Requirement]:
        """The requirement that `text`, from `start` on, was found to be; nothing if it is None."""
        if specifier is not None:
            shown = re.split(r"\s*(?:;|\s#|\s--|\\$)", text.strip(), maxsplit=1)[0]
            yield self.requirement(max(self.text.find(shown, start), start), shown, specifier)


def _of_toml_lock(file: File) -> Iterator[Requirement]:
    """uv, Poetry, PDM and pylock.toml: a table for each package with its name and then its version."""
    pattern = re.compile(r"""^name\s*=\s*["']([^"']+)["'][ \t]*\nversion\s*=\s*["']([^"']+)["']""", re.MULTILINE)
    for found in pattern.finditer(file.text):
        if same_library(found.group(1), file.library):
            yield file.requirement(
                found.start(), f"{found.group(1)} {found.group(2)}", f"=={found.group(2)}", locked=True
            )


def _of_pipfile_lock(file: File) -> Iterator[Requirement]:
    pattern = re.compile(r'"([\w.-]+)"\s*:\s*\{[^{}]*?"version"\s*:\s*"(===?[^"]+)"')
    for found in pattern.finditer(file.text):
        if same_library(found.group(1), file.library):
            yield file.requirement(found.start(1), f"{found.group(1)}{found.group(2)}", found.group(2), locked=True)


def of_requirements(file: File) -> Iterator[Requirement]:
    for start, line in file.lines():
        if re.match(r"\s*(?:[A-Za-z]|-e\b|--editable\b)", line):
            yield from file.of_text(start, line, pip_specifier(line, file.library))


def _of_setup_cfg(file: File) -> Iterator[Requirement]:
    section = key = ""
    for start, line in file.lines():
        if header := re.match(r"\[(.+)\]", line):
            section = header.group(1).strip()
        elif option := re.match(r"([\w.-]+)\s*[=:]\s*(?![=])(.*)", line):
            key, line = option.group(1), option.group(2)
        requires = section == "options.extras_require" or (section == "options" and key in _OPTIONS)
        if requires and not line.lstrip().startswith(("#", ";")):
            yield from file.of_text(start, line, pip_specifier(line, file.library))


def _of_setup_py(file: File) -> Iterator[Requirement]:
    """Its string literals: what a call builds from them is not known."""
    try:
        with unremarked():
            tree = ast.parse(file.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    starts = [start for start, _ in file.lines()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            specifier = pip_specifier(node.value, file.library)
            if specifier:  # a bare name can be anything
                yield from file.of_text(starts[node.lineno - 1], node.value, specifier)


def _of_toml(file: File) -> Iterator[Requirement]:
    """pyproject.toml and Pipfile."""
    try:
        document = tomllib.loads(file.text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    for path in _LISTS:
        for values in _at(document, path.split(".")):
            for value in values if isinstance(values, list) else ():
                if isinstance(value, str):
                    start = max(file.text.find(f'"{value}"'), file.text.find(f"'{value}'"), 0)
                    yield from file.of_text(start, value, pip_specifier(value, file.library))
    for path in _TABLES:
        for table in _at(document, path.split(".")):
            if isinstance(table, Mapping):
                yield from _of_table(file, table)


def _of_table(file: File, table: Mapping[str, object]) -> Iterator[Requirement]:
    for name, value in table.items():
        if not same_library(name, file.library):
            continue
        place = re.search(rf"^\s*[\"']?({re.escape(name)})[\"']?\s*=", file.text, re.MULTILINE)
        for constraint in value if isinstance(value, list) else [value]:
            version = constraint.get("version", "") if isinstance(constraint, Mapping) else constraint
            if isinstance(version, str):
                shown = f'{name} = "{version}"' if version else name
                yield file.requirement(place.start(1) if place else 0, shown, poetry_specifier(version))


def _at(table: object, parts: list[str]) -> Iterator[object]:
    """What stands in the tables under a path; `*` is every key."""
    if not parts:
        yield table
    elif isinstance(table, Mapping):
        for key in table if parts[0] == "*" else [parts[0]]:
            if key in table:
                yield from _at(table[key], parts[1:])


def _of_environment(file: File) -> Iterator[Requirement]:
    """conda's list, and pip's below it: `transformers=4.45` is conda's spelling, the others are both's."""
    for start, line in file.lines():
        item = re.match(r"\s*-\s+[\"']?(.*?)[\"']?\s*$", re.sub(r"\s#.*", "", line))
        if item:
            text = item.group(1)
            specifier = pip_specifier(text, file.library)
            yield from file.of_text(
                start, text, specifier if specifier is not None else conda_specifier(text, file.library)
            )


Reader = Callable[[File], Iterator[Requirement]]


READERS: tuple[tuple[str, Reader], ...] = (
    ("uv.lock", _of_toml_lock),
    ("poetry.lock", _of_toml_lock),
    ("pdm.lock", _of_toml_lock),
    ("pylock*.toml", _of_toml_lock),
    ("Pipfile.lock", _of_pipfile_lock),
    ("requirements.txt", of_requirements),
    ("*requirements*.txt", of_requirements),
    ("*requirements*.in", of_requirements),
    ("requirements/*.txt", of_requirements),
    ("constraints*.txt", of_requirements),
    ("setup.cfg", _of_setup_cfg),
    ("setup.py", _of_setup_py),
    ("pyproject.toml", _of_toml),
    ("Pipfile", _of_toml),
    ("environment*.yml", _of_environment),
    ("environment*.yaml", _of_environment),
)
