"""Which values do the project's YAML files give? For `config.loss.kind`, the first file that has a `loss.kind`.

A file in a folder of alternatives (`conf/loss/sft.yaml`) fills the part of the folder's name, as Hydra composes it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ga_lint.verify.worker.reading.sources import Module, project_root

_MOST_FILES, _MAX_BYTES = 60, 100_000
_LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w-]+):(?:\s+(?P<value>[^#\n]*?))?\s*(?:#.*)?$")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "yes": True, "no": False}


def configured(module: Module, name: str) -> tuple[object, str] | None:
    """The value of the longest end of this dotted name that a file has, and where it stands."""
    parts = name.split(".")
    for start in range(len(parts)):
        found = _values(project_root(module.path), module.path.parent).get(".".join(parts[start:]))
        if found is not None:
            return found
    return None


@cache
def _values(root: Path, folder: Path) -> dict[str, tuple[object, str]]:
    """Each end of each path with its value; an end that has several values in one file says nothing."""
    found: dict[str, tuple[object, str]] = {}
    for path in _files(root, folder):
        own: dict[str, list[object]] = {}
        for parts, value in _entries(path):
            for start in range(len(parts)):
                own.setdefault(".".join(parts[start:]), []).append(value)
        for key, values in own.items():
            if all(value == values[0] for value in values):
                found.setdefault(key, (values[0], f"its value in {path.name}"))
    return found


def _files(root: Path, folder: Path) -> list[Path]:
    """Those nearest to the code first, and of a folder those with the plainest names."""
    if not (root / "pyproject.toml").exists() and not (root / ".git").exists() and not (root / "setup.py").exists():
        root = folder
    found = [p for pattern in ("*.yaml", "*.yml") for p in root.rglob(pattern) if _is_configuration(p, root)]
    found.sort(key=lambda p: (_distance(p, folder), len(p.parts), str(p)))
    return found[:_MOST_FILES]


def _is_configuration(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return not any(part.startswith(".") or part in ("tests", "docs", "node_modules") for part in parts)


def _distance(path: Path, folder: Path) -> int:
    """How many folders up from the code the file's and the code's ways part."""
    return next(n for n, each in enumerate([folder, *folder.parents]) if path.is_relative_to(each))


def _entries(path: Path) -> Iterator[tuple[list[str], object]]:
    """The scalar entries with their paths. Lists, anchors and interpolations are passed over."""
    try:
        text = path.read_text("utf-8") if path.stat().st_size <= _MAX_BYTES else ""
    except (OSError, ValueError):
        return
    outer: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        indent = len(match["indent"])
        while outer and outer[-1][0] >= indent:
            outer.pop()
        keys = [path.parent.name, *(key for _, key in outer), match["key"]]
        if not match["value"]:
            outer.append((indent, match["key"]))
            continue
        for value in _scalar(match["value"]):
            yield keys, value


def _scalar(text: str) -> Iterator[object]:
    if text.lower() in _WORDS:
        yield _WORDS[text.lower()]
        return
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError):
        if re.fullmatch(r"[\w./+-]+", text):
            yield float(text) if re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", text) else text
        return
    if isinstance(value, str | int | float):
        yield value
