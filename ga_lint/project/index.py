"""Which file holds the module that is imported here?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from ga_lint.errors import SourceError
from ga_lint.knowledge import Knowledge, ProjectRow, load, with_rows
from ga_lint.project.required import Required
from ga_lint.source import read_source
from ga_lint.syntax.bindings import Binding, ImportedName, ModuleBindings, bindings_of
from ga_lint.syntax.parsed import ParsedFile, ParseFailure, parse

MAX_TEXTS = 4_000  # a bound on what is searched for a word; a project of one training run has hundreds
_TEXTS = (".py", ".yaml", ".yml")
_FOREIGN = frozenset({"site-packages", "node_modules", "venv", "build", "dist"})


MAX_FILES = 64  # trees kept at a time; a file and all that it leads to are far fewer


class Project(Required):
    """The files of one repository, parsed on demand and once. No code outside `root` is read.

    `rows`: what the project says about its own callables, as knowledge rows by name; those are not looked into.
    """

    def __init__(
        self, root: Path, transformers_version: str | None = None, rows: Mapping[str, ProjectRow] | None = None
    ) -> None:
        super().__init__(root.resolve(), transformers_version)
        self._rows = dict(rows or {})
        self._files: dict[Path, ParsedFile | None] = {}
        self._bindings: dict[Path, ModuleBindings] = {}
        self._resolved: dict[Path, Path] = {}
        self._mentions: dict[bytes, tuple[Path, ...]] = {}
        self._modules: dict[tuple[Path, str, int], Path | None] = {}
        self._walked: list[tuple[Path, ...]] = []

    @cached_property
    def knowledge(self) -> Knowledge:
        """The shipped rows and the project's own."""
        return with_rows(load(), self._rows) if self._rows else load()

    def described(self, parsed: ParsedFile, name: str) -> ImportedName | None:
        """How a row of the project's own names what this file calls `name`."""
        parts = self._resolve(parsed.path).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for row in self._rows:
            module, _, last = row.rpartition(".")
            if last == name and parts[-module.count(".") - 1 :] == tuple(module.split(".")):
                return ImportedName(module, 0, name)
        return None

    @cached_property
    def libraries(self) -> frozenset[str]:
        """The root packages that the knowledge rows speak of."""
        return load().libraries

    def add(self, parsed: ParsedFile) -> None:
        """Make a file that is already parsed known under its path (an editor's unsaved text, for one)."""
        key = self._resolve(parsed.path)
        self._bindings.pop(key, None)
        self._keep(key, parsed)

    def file(self, path: Path) -> ParsedFile | None:
        """The parsed file, or None when it is missing or is not Python."""
        key = self._resolve(path)
        if key not in self._files:
            try:
                self._keep(key, parse(read_source(path)))
            except (SourceError, ParseFailure):
                self._keep(key, None)
        return self._files[key]

    def _keep(self, key: Path, parsed: ParsedFile | None) -> None:
        """Remember a file, and forget the one that was remembered first when there are too many."""
        self._files.pop(key, None)
        self._files[key] = parsed
        if len(self._files) > MAX_FILES:
            oldest = next(iter(self._files))
            del self._files[oldest]
            self._bindings.pop(oldest, None)

    def bindings(self, parsed: ParsedFile) -> ModuleBindings:
        """The file's module-level names."""
        key = self._resolve(parsed.path)
        if key not in self._bindings:
            self._bindings[key] = bindings_of(parsed.tree)
        return self._bindings[key]

    def imported(self, importer: Path, imported: ImportedName) -> ParsedFile | None:
        """The project's own file that `imported.module` names, seen from `importer`; None for other packages.

        A library that the knowledge rows speak of is never read for its source, not even inside its own repository.
        """
        if imported.level == 0 and imported.module.partition(".")[0] in self.libraries:
            return None
        if imported.level == 0 and f"{imported.module}.{imported.name}" in self._rows:
            return None
        key = (self._resolve(importer).parent, imported.module, imported.level)
        if key not in self._modules:
            self._modules[key] = self._find(*key)
        path = self._modules[key]
        return self.file(path) if path else None

    def find(self, parsed: ParsedFile, name: str) -> Iterator[tuple[ParsedFile, Binding]]:
        """What `name` is bound to at the module level of `parsed`, re-exports followed to where they are defined."""
        yield from self._find_name(parsed, name, set())

    def _resolve(self, path: Path) -> Path:
        """The real path; asking the file system once for each file is enough."""
        if path not in self._resolved:
            self._resolved[path] = path.resolve()
        return self._resolved[path]

    def _find_name(
        self, parsed: ParsedFile, name: str, seen: set[tuple[Path, str]]
    ) -> Iterator[tuple[ParsedFile, Binding]]:
        if (parsed.path, name) in seen:
            return
        seen.add((parsed.path, name))
        if self._rows and (row := self.described(parsed, name)) is not None:
            yield parsed, row
            return
        bindings = self.bindings(parsed)
        for binding in bindings.by_name.get(name, ()):
            if isinstance(binding, ImportedName) and binding.name is not None:
                yield from self._follow(parsed, binding, seen)
            else:
                yield parsed, binding
        if name not in bindings.by_name:
            for star in bindings.stars:
                source = self.imported(parsed.path, star)
                if source is not None:
                    yield from self._find_name(source, name, seen)

    def _follow(
        self, parsed: ParsedFile, binding: ImportedName, seen: set[tuple[Path, str]]
    ) -> Iterator[tuple[ParsedFile, Binding]]:
        assert binding.name is not None
        known = binding.level == 0 and binding.module.partition(".")[0] in load().libraries
        source = None if known else self.imported(parsed.path, binding)  # also inside that library's own repository
        found = list(self._find_name(source, binding.name, seen)) if source else []
        if found:
            yield from found
        else:
            yield parsed, binding  # a submodule, or defined outside the project

    def mentioning(self, word: bytes) -> tuple[Path, ...]:
        """The project's Python and YAML files that hold the word; looked for once."""
        if word not in self._mentions:
            self._mentions[word] = tuple(path for path in self._texts if _holds(path, word))
        return self._mentions[word]

    @property
    def _texts(self) -> tuple[Path, ...]:
        if not self._walked:
            self._walked.append(self._walk())
        return self._walked[0]

    def _walk(self) -> tuple[Path, ...]:
        found: list[Path] = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _FOREIGN)
            found.extend(Path(folder, name) for name in sorted(names) if name.endswith(_TEXTS))
            if len(found) > MAX_TEXTS:
                break
        return tuple(found[:MAX_TEXTS])

    def _find(self, folder: Path, module: str, level: int) -> Path | None:
        parts = module.split(".") if module else []
        if level:
            for _ in range(level - 1):
                folder = folder.parent
            return self._file_in(folder, parts)
        if not parts:
            return None
        while folder.is_relative_to(self.root):
            for base in (folder, folder / "src"):
                found = self._file_in(base, parts)
                if found:
                    return found
            folder = folder.parent
        return None

    def _file_in(self, folder: Path, parts: list[str]) -> Path | None:
        path = folder.joinpath(*parts)
        if not path.is_relative_to(self.root):
            return None
        for candidate in (path.with_name(path.name + ".py") if parts else path / "__init__.py", path / "__init__.py"):
            if candidate.is_file():
                return candidate
        return None


def _holds(path: Path, word: bytes) -> bool:
    with contextlib.suppress(OSError):
        return word in path.read_bytes()
    return False
