"""Which findings were there before, and which of those are gone? Recognised by fingerprint, never by line.

A fingerprint counts how many findings before it were alike, so a second copy of a known fault is a new finding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from ga_lint.config import CONFIDENCES
from ga_lint.diagnostics import Confidence, Diagnostic
from ga_lint.engine.known import Analysed
from ga_lint.engine.scope import Scope
from ga_lint.errors import UsageError
from ga_lint.outcome import Clean, Failed

VERSION = 1


class Entry(Struct, frozen=True, order=True):
    """One known finding. The fingerprint decides; the rest is for those who read the file, and says who may judge."""

    path: str  # counted from the folder of the baseline
    code: str
    scope: str
    message: str
    confidence: str
    fingerprint: str

    @property
    def key(self) -> tuple[str, str]:
        """Two projects of one repository can hold the same file, and so the same fingerprint."""
        return self.path, self.fingerprint


class Baseline:
    """The known findings, and what the files of this run say about them."""

    def __init__(self, folder: Path, entries: tuple[Entry, ...] = (), *, takes_all: bool = False) -> None:
        """`folder` is the one of its file; `takes_all`: every finding of this run is to be known from now on."""
        self._folder = folder.absolute()
        self._entries = {entry.key: entry for entry in entries}
        self._takes_all = takes_all
        self._found: dict[tuple[str, str], Entry] = {}
        self._judged: set[tuple[str, str]] = set()  # the keys of entries that this run would have found

    def among(self, outcome: Analysed, scope: Scope) -> frozenset[str]:
        found = () if isinstance(outcome, Clean) else outcome.diagnostics
        path = Path(os.path.relpath(outcome.path, self._folder)).as_posix()
        entries = [_entry(diagnostic, path) for diagnostic in found]
        self._found |= {entry.key: entry for entry in entries}
        if not isinstance(outcome, Failed):
            self._judge(path, scope)
        return frozenset(e.fingerprint for e in entries if self._takes_all or e.key in self._entries)

    def _judge(self, path: str, scope: Scope) -> None:
        """Entries that would be found here if their fault were there still; those of deleted files likewise."""
        for entry in self._entries.values():
            here = entry.path == path or not os.path.lexists(self._folder / entry.path)
            sure = Confidence[entry.confidence.upper()] >= scope.config.min_confidence
            if here and sure and entry.code in scope.codes:
                self._judged.add(entry.key)

    @property
    def left_out(self) -> int:
        """How many findings of this run are known."""
        return len(self._found.keys() & self._entries.keys())

    @property
    def stale(self) -> list[Entry]:
        """The entries of which the fault is gone."""
        return sorted(self._entries[key] for key in self._judged - self._found.keys())

    def pruned(self) -> list[Entry]:
        """What is left without the stale ones."""
        return sorted(set(self._entries.values()) - set(self.stale))

    def updated(self) -> list[Entry]:
        """What is left, and everything that this run found."""
        return sorted({entry.key: entry for entry in (*self.pruned(), *self._found.values())}.values())


def _entry(diagnostic: Diagnostic, path: str) -> Entry:
    finding = diagnostic.finding
    confidence = str(finding.confidence)
    return Entry(path, finding.code, finding.scope, finding.message, confidence, diagnostic.fingerprint)


def read_baseline(path: Path) -> tuple[Entry, ...]:
    """The entries of a file; UsageError where it is missing or no baseline."""
    try:
        return tuple(_entries(path, json.loads(path.read_bytes())))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such baseline; write one with --update-baseline") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        remedy = "delete it and write a new one with --update-baseline"
        raise UsageError(f"{path}: not a baseline, or a damaged one ({error}); {remedy}") from None


def _entries(path: Path, document: object) -> Iterator[Entry]:
    if not isinstance(document, dict) or "version" not in document:
        raise ValueError("no version")
    if document["version"] != VERSION:
        told = f"a baseline of version {document['version']}; this ga-lint reads version {VERSION}"
        raise UsageError(f"{path}: {told}: use the ga-lint that wrote it, or delete it and write a new one")
    findings = document.get("findings")
    if not isinstance(findings, list):
        raise ValueError("no list of findings")
    names = Entry.__struct_fields__
    for number, item in enumerate(findings, 1):
        if not isinstance(item, dict) or sorted(item) != sorted(names):
            raise ValueError(f"finding {number} must have {', '.join(names)}")
        if item["confidence"] not in CONFIDENCES or not all(isinstance(value, str) for value in item.values()):
            raise ValueError(f"finding {number} has a wrong value")
        yield Entry(**item)


def write_baseline(path: Path, entries: list[Entry]) -> None:
    """One line for each entry, in order, so that a merge and a diff show single findings."""
    from ga_lint.engine.write import write_whole  # most runs write none

    lines = ",\n".join(f"    {json.dumps(asdict(entry))}" for entry in entries)
    body = f"[\n{lines}\n  ]" if entries else "[]"
    try:
        write_whole(path, f'{{\n  "version": {VERSION},\n  "findings": {body}\n}}\n'.encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
