"""What did the last run say about this file, and would this one say the same?

An outcome is kept with everything that it followed from: the tool and its tables, the configuration, the file, and the
other files and folders that were asked for, whether they were there or not. A file is the same if its times and its
size are, or else its bytes; a folder likewise by the names in it. The cache is one JSON file that replaces the last one
at once, so that two runs never read half of one; what cannot be read is as good as no cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ga_lint import __version__
from ga_lint.engine.discover import Target
from ga_lint.engine.look import Look, Looker
from ga_lint.engine.pack import pack, unpack
from ga_lint.outcome import Failed, FileOutcome
from ga_lint.resources import rules_folder
from ga_lint.trail import EVERYTHING, TEXTS

FOLDER = ".ga_lint_cache"
_KEPT = 16  # files, of the configurations and working folders that were used last
_RECENT = 2_000_000_000  # ns; what was written so shortly before may change again without its times telling
_BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
_MADE = ("_cache", "__pycache__")  # folders that tools leave, this one too
Signature = list[int]


class Cache:
    """The outcomes of earlier runs from one working folder, by one state of the tool."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / f"{_digest(repr((_tool(), os.getcwd())).encode())}.json"
        self._kept: dict[str, list[Any]] = {}  # by path: key, signature, digest, places, outcome
        self._places = Places()
        self._keys: dict[int, str] = {}
        self._names: list[str] = []  # of places; entries say their numbers
        self._numbers: dict[str, int] = {}
        with contextlib.suppress(*_BROKEN):
            document = _unsealed(self._file.read_bytes())
            self._names = [str(name) for name, _, _ in document["places"]]
            self._places.kept = {name: [signature, digest] for name, signature, digest in document["places"]}
            self._kept = dict(document["files"])

    def known(self, targets: Sequence[Target], looker: Looker) -> dict[int, FileOutcome]:
        """The outcomes that need no new look, by their targets' indices."""
        found: dict[int, FileOutcome] = {}
        for index, target in enumerate(targets):
            name = str(target.path)
            with contextlib.suppress(*_BROKEN):
                key, signature, digest, places, packed = self._kept[name]
                same = key == self._key(target, looker) and self._places.is_same(name, signature, digest)
                if same and all(self._places.is_as_kept(self._names[place]) for place in places):
                    found[index] = unpack(target.path, packed)
        return found

    def keep(self, targets: Sequence[Target], looker: Looker, fresh: Mapping[int, Look]) -> None:
        """Write down what was found now, beside what is known."""
        if not fresh:
            return
        self._renumber({str(target.path) for target in targets})
        for index, look in fresh.items():
            self._kept.pop(str(targets[index].path), None)
            entry = self._entry(targets[index], looker, look)
            if entry is not None:
                self._kept[str(targets[index].path)] = entry
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the report
            self._write()

    def _entry(self, target: Target, looker: Looker, look: Look) -> list[Any] | None:
        name, outcome = str(target.path), look.outcome
        packed = None if isinstance(outcome, Failed) or outcome.path != target.path else pack(outcome)
        signature = self._places.signature(name)
        if packed is None or signature is None or self._places.is_recent(signature):
            return None
        root = str(target.config.root)
        places = sorted(f"{EVERYTHING}{root}" if place == EVERYTHING else place for place in look.places)
        if not all(map(self._places.keep, places)):
            return None
        digest = self._places.content(name) if places else ""  # one that no rule applies to is read as fast
        return [self._key(target, looker), signature, digest, [self._number(place) for place in places], packed]

    def _number(self, place: str) -> int:
        """The place as entries name it."""
        if place not in self._numbers:
            self._numbers[place] = len(self._names)
            self._names.append(place)
        return self._numbers[place]

    def _key(self, target: Target, looker: Looker) -> str:
        """What the outcome followed from besides files."""
        known = self._keys.get(id(target.config))
        if known is None:
            known = self._keys[id(target.config)] = _digest(repr(target.config).encode())
        return f"{known}+" if looker.parses_whole(target) else known

    def _renumber(self, current: set[str]) -> None:
        """Leave out what is gone: files, and places that nothing followed from."""
        old, kept = self._names, self._kept
        self._names, self._numbers, self._kept = [], {}, {}
        for name, entry in kept.items():
            with contextlib.suppress(*_BROKEN):
                if name in current or os.path.exists(name):
                    self._kept[name] = [*entry[:3], [self._number(old[place]) for place in entry[3]], entry[4]]

    def _write(self) -> None:
        places = [[name, *self._places.kept[name]] for name in self._names]
        self._folder.mkdir(parents=True, exist_ok=True)
        ignored = self._folder / ".gitignore"
        if not ignored.exists():
            self._put(ignored, b"# made by ga-lint\n*\n")
        self._put(self._file, _sealed({"files": self._kept, "places": places}))
        for old in sorted(self._folder.glob("*.json"), key=lambda path: -path.stat().st_mtime)[_KEPT:]:
            old.unlink()

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        """Whole or not at all; not forced to the disk, since half a file is known by its seal."""
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(data)
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def _sealed(document: dict[str, Any]) -> bytes:
    """The document below its digest: what a disk or another program has changed in it is no document."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return _digest(body).encode() + b"\n" + body


def _unsealed(data: bytes) -> dict[str, Any]:
    seal, _, body = data.partition(b"\n")
    if seal != _digest(body).encode():
        raise ValueError("damaged")
    document: dict[str, Any] = json.loads(body)
    return document


class Places:
    """Files and folders as they are now, and as they were."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Any]] = {}  # signature and digest by path
        self._now = time.time_ns()
        self._signatures: dict[str, Signature | None] = {}
        self._contents: dict[str, str] = {}
        self._as_kept: dict[str, bool] = {}
        self._noted: set[str] = set()

    def signature(self, name: str) -> Signature | None:
        """What tells quickly that nothing has changed; None where there is nothing."""
        if name not in self._signatures:
            try:
                status = os.stat(name)
                self._signatures[name] = [status.st_mtime_ns, status.st_ctime_ns, status.st_size]
            except OSError:
                self._signatures[name] = None
        return self._signatures[name]

    def is_recent(self, signature: Signature) -> bool:
        """Was it written during this run, or so shortly before that it may have changed since it was read?"""
        return max(signature[:2]) > self._now - _RECENT

    def is_same(self, name: str, signature: Signature | None, digest: str) -> bool:
        """Is it what it was, by its times or else by its content?"""
        return self.signature(name) == signature or (bool(digest) and digest == self.content(name))

    def content(self, name: str) -> str:
        """A digest of a file's bytes, of a folder's names, or of all texts below a root; `-` where there is nothing."""
        if name not in self._contents:
            try:
                self._contents[name] = _digest(self._content(name))
            except OSError:
                self._contents[name] = "-"
        return self._contents[name]

    def _content(self, name: str) -> bytes:
        if name.startswith(EVERYTHING):
            texts = _texts(name.removeprefix(EVERYTHING))
            return "".join(f"{text}\0{self.signature(text)}\0" for text in texts).encode("utf-8", "surrogateescape")
        if os.path.isdir(name):
            names = sorted(one for one in os.listdir(name) if not one.endswith(_MADE))
            return "\0".join(names).encode("utf-8", "surrogateescape")
        with open(name, "rb") as file:
            return file.read()

    def is_as_kept(self, name: str) -> bool:
        """Is this place what it was when an outcome followed from it?"""
        if name not in self._as_kept:
            signature, digest = self.kept[name]
            self._as_kept[name] = self.is_same(name, signature, digest)
        return self._as_kept[name]

    def keep(self, name: str) -> bool:
        """Note what the place is; False where it may have changed meanwhile."""
        signature = None if name.startswith(EVERYTHING) else self.signature(name)
        if signature is not None and self.is_recent(signature):
            return False
        if name not in self._noted:
            self._noted.add(name)
            self.kept[name] = [signature, self.content(name)]
        return True


def _texts(root: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(TEXTS))


def _tool() -> tuple[object, ...]:
    """The version, and in a checkout the state of every file of it."""
    package = os.path.dirname(__file__)
    parts: list[object] = [__version__, sys.version_info[:3], sys.platform]
    for top in (os.path.dirname(package), str(rules_folder() / "knowledge")):
        for folder, folders, names in os.walk(top):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                status = os.stat(os.path.join(folder, name))
                parts.append((name, status.st_mtime_ns, status.st_size))
    return tuple(parts)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
