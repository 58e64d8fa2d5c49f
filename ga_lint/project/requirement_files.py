"""Which files of a folder require a library, and what do they include? `requirement_formats` reads each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from ga_lint.project.requirement import Requirement
from ga_lint.project.requirement_formats import READERS, File, Reader, of_requirements
from ga_lint.source import Position, Span
from ga_lint.trail import note_path

_VERSION = re.compile(r"^__version__ = [\"'](\d+\.\d+(?:\.\d+)?)[^\"']*[\"']", re.MULTILINE)
MAX_INCLUDES = 32  # files that requirement files name with -r and -c
_INCLUDE = re.compile(r"^[ \t]*(?:-r|-c|--requirement|--constraint)[ \t=]*[\"']?([^\s\"'#]+)", re.MULTILINE)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # PowerShell's `pip freeze > requirements.txt`


def requirements_in(folder: Path, library: str) -> list[Requirement]:
    """Those of all files of one folder, files in the order of `READERS`."""
    note_path(folder)
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []
    found: list[Requirement] = []
    seen: set[Path] = set()
    for pattern, reader in READERS:
        inner, _, last = pattern.rpartition("/")
        place = folder / inner if inner else folder
        if inner and inner not in names:
            continue
        note_path(place)
        fitting = sorted(path.name for path in place.iterdir()) if inner and place.is_dir() else names
        for name in fitting:
            if fnmatchcase(name, last):
                found.extend(_read(place / name, library, reader, seen))
    return [*found, *_own(folder, library)]


def _own(folder: Path, library: str) -> Iterator[Requirement]:
    """The library's own repository, or a copy of it: the code is of the version that it says it is."""
    for inside in (folder / "src" / library, folder / library):
        path = inside / "__init__.py"
        note_path(path)
        text = _text(path) if path.is_file() else ""
        found = _VERSION.search(text)
        if found is not None:
            row, column = text.count("\n", 0, found.start()) + 1, found.start() - text.rfind("\n", 0, found.start())
            span = Span(Position(row, column), Position(row, column + len(found.group())))
            yield Requirement(found.group(), f"=={found.group(1)}", path, span)


def _read(path: Path, library: str, reader: Reader, seen: set[Path]) -> Iterator[Requirement]:
    resolved = path.resolve()
    if resolved in seen:
        return
    seen.add(resolved)
    text = _text(path)
    if reader is of_requirements:
        for included in _INCLUDE.findall(text) if len(seen) < MAX_INCLUDES else ():
            yield from _read(path.parent / included, library, reader, seen)
    if _mentions(text, library):
        yield from reader(File(path, text, library))


def _mentions(text: str, library: str) -> bool:
    return re.split(r"[-_.]", library)[0].lower() in text.lower()


def _text(path: Path) -> str:
    note_path(path)
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError:
        return ""
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")
