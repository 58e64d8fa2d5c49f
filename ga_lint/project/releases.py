"""Which releases of a library does the project run with? Read from its requirements, metadata or lock."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

# Release series of transformers that the rules tell apart, with a last patch release; newer ones count as the last.
_SERIES = [f"4.{minor}.{patch}" for minor in range(20, 58) for patch in (0, 9)]
_SERIES += [f"5.{minor}.{patch}" for minor in range(24) for patch in (0, 9)]
_PINNED = re.compile(r"\d+(?:\.\d+)+")


def requirement_of(root: Path, library: str) -> str | None:
    """What the project asks for ("==4.45.2", ">=4.40,<4.46"); None where it says nothing."""
    for text in _requirement_lines(root, library):
        return text
    return None


def admits(requirement: str | None, release: tuple[int, ...]) -> bool | None:
    """Does a version of at least `release` fit `requirement`? None where nothing is required."""
    if not requirement:
        return None
    text = requirement.strip()
    if text[0].isdigit():
        text = f"=={text}"
    try:
        specifiers = SpecifierSet(text)
    except InvalidSpecifier:
        return None
    candidates = [*_SERIES, *_PINNED.findall(text)]
    fitting = list(specifiers.filter(candidates))
    return any(tuple(int(part) for part in version.split(".")[:3]) >= release for version in fitting)


def _requirement_lines(root: Path, library: str) -> Iterator[str]:
    """The specifiers behind the library's name, the most binding file first."""
    for lock in ("uv.lock", "poetry.lock", "pdm.lock"):
        yield from _locked(root / lock, library)
    line = re.compile(rf"^\s*{library}(?:\[[^\]]*\])?\s*((?:[<>=!~]=?|===)[^;#\n]*)", re.MULTILINE | re.IGNORECASE)
    quoted = re.compile(rf"[\"']{library}(?:\[[^\]]*\])?\s*((?:[<>=!~]=?|===)[^;\"']*)[\"';]", re.IGNORECASE)
    names = sorted(root.glob("requirements*.txt"))
    for path, pattern in [(name, line) for name in names] + [
        (root / "pyproject.toml", quoted),
        (root / "setup.py", quoted),
    ]:
        found = pattern.search(_text(path))
        if found:
            yield found.group(1).strip()


def _locked(path: Path, library: str) -> Iterator[str]:
    text = _text(path)
    if not text:
        return
    try:
        packages = tomllib.loads(text).get("package", [])
    except tomllib.TOMLDecodeError:
        return
    for package in packages:
        if package.get("name") == library and "version" in package:
            yield f"=={package['version']}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
