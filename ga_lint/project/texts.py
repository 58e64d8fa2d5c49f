"""Which of a project's texts hold a word? One class after another asks, so what was read is kept, within a bound."""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path

from ga_lint.trail import TEXTS

MAX_TEXTS = 4_000  # a bound on what is searched for a word; a project of one training run has hundreds
HELD = 4 << 20  # bytes of texts that each process keeps; whatever is beyond is read again for each word
_FOREIGN = frozenset({"site-packages", "node_modules", "venv", "build", "dist"})


class Texts:
    """The Python and YAML files under one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: dict[Path, bytes] = {}
        self._room = HELD
        self._mentions: dict[bytes, tuple[Path, ...]] = {}

    def mentioning(self, word: bytes) -> tuple[Path, ...]:
        """Those that hold the word; looked for once."""
        if word not in self._mentions:
            self._mentions[word] = tuple(path for path in self._paths if word in self._read(path))
        return self._mentions[word]

    def _read(self, path: Path) -> bytes:
        text = self._kept.get(path)
        if text is None:
            text = b""
            with contextlib.suppress(OSError):
                text = path.read_bytes()
            if len(text) <= self._room:
                self._kept[path] = text
                self._room -= len(text)
        return text

    @cached_property
    def _paths(self) -> tuple[Path, ...]:
        found: list[Path] = []
        for folder, folders, names in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _FOREIGN)
            texts = (Path(folder, name) for name in sorted(names) if name.endswith(TEXTS))
            found.extend(path for path in texts if path.is_file())  # a pipe would never end
            if len(found) > MAX_TEXTS:
                break
        return tuple(found[:MAX_TEXTS])
