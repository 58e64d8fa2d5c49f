"""How is a finding recognised again after the file has been edited elsewhere? By no line number."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path


class Fingerprints:
    """The fingerprints of one file's findings: rule, path, enclosing function, statement, and how many were alike."""

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path_in(root, path)
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def of(self, code: str, scope: str, statement: str) -> str:
        """The fingerprint of the next finding of this kind; findings must come in order of their place."""
        kind = (code, scope, statement)
        ordinal = self._seen[kind]
        self._seen[kind] += 1
        text = "\0".join((code, self._path, scope, statement, str(ordinal)))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def path_in(root: Path, path: Path) -> str:
    """The path as fingerprints know it: counted from the project's root, so that no machine's folders are in it."""
    absolute = path.absolute()
    return (absolute.relative_to(root) if absolute.is_relative_to(root) else path).as_posix()
