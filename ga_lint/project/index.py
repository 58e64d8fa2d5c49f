"""Which file holds the module that is imported here?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from ga_lint.knowledge import Knowledge, ProjectRow, load, with_rows
from ga_lint.project.definitions import DESCRIBED, Definitions
from ga_lint.project.required import Required
from ga_lint.project.texts import Texts
from ga_lint.project.trees import Trees
from ga_lint.syntax.bindings import Binding, ImportedName, ModuleBindings, bindings_of
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.trail import EVERYTHING, note, note_path, remembered


class Project(Required):
    """The files of one repository, parsed on demand and once. No code outside `root` is read.

    `rows`: what the project says about its own callables, as knowledge rows by name; those are not looked into.
    `trees`: those that it shares with the other projects of a run.
    """

    def __init__(
        self,
        root: Path,
        transformers_version: str | None = None,
        rows: Mapping[str, ProjectRow] | None = None,
        trees: Trees | None = None,
    ) -> None:
        super().__init__(root.resolve(), transformers_version)
        self._rows = dict(rows or {})
        self._trees = Trees() if trees is None else trees
        self._resolved: dict[Path, Path] = {}
        self._texts = Texts(self.root)
        self._modules: dict[tuple[Path, str, int], tuple[Path | None, frozenset[str]]] = {}
        self._definitions = Definitions(self)

    @cached_property
    def knowledge(self) -> Knowledge:
        """The shipped rows and the project's own."""
        return with_rows(load(), self._rows) if self._rows else load()

    def described(self, parsed: ParsedFile, name: str) -> ImportedName | None:
        """How a row of the project's own names what this file calls `name`."""
        if not self._rows:
            return None
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
        self._definitions.added(parsed)
        self._trees.keep(self._resolve(parsed.path), parsed)

    def forget(self, path: Path) -> None:
        """Hold no tree of this file any more; whoever imports it gets one that is parsed body by body."""
        if path in self._resolved:
            self._trees.forget(self._resolved[path])

    def file(self, path: Path) -> ParsedFile | None:
        """The parsed file, or None when it is missing or is not Python."""
        note_path(path)
        return self._trees.read(self._resolve(path), path)

    def read_whole(self, path: Path) -> None:
        """Parse this file wholly from now on: one of its bodies was not what its lines look like."""
        self._trees.read_whole(self._resolve(path))

    def bindings(self, parsed: ParsedFile) -> ModuleBindings:
        """The file's module-level names."""
        known: ModuleBindings | None = parsed.tree.__dict__.get("_ga_lint_bindings")  # asked for with every name
        if known is None:
            known = bindings_of(parsed.tree)
            parsed.tree._ga_lint_bindings = known  # type: ignore[attr-defined]
        return known

    def imported(self, importer: Path, imported: ImportedName) -> ParsedFile | None:
        """The project's own file that `imported.module` names, seen from `importer`; None for other packages.

        A library that the knowledge rows speak of is never read for its source, not even inside its own repository.
        """
        if imported.level == 0 and imported.module.partition(".")[0] in self.libraries:
            return None
        if imported.level == 0 and f"{imported.module}.{imported.name}" in self._rows:
            return None
        key = (self._resolve(importer).parent, imported.module, imported.level)
        path = remembered(self._modules, key, lambda: self._find(*key))
        return self.file(path) if path else None

    def find(self, parsed: ParsedFile, name: str) -> Iterator[tuple[ParsedFile, Binding]]:
        """What `name` is bound to at the module level of `parsed`, re-exports followed to where they are defined."""
        for one in self._definitions.of(parsed, name):
            home = parsed if one.path == parsed.path else self.file(one.path)
            if home is None:
                continue  # it has gone meanwhile
            row = self.described(home, one.name) if one.index == DESCRIBED else None
            yield home, row or self.bindings(home).by_name[one.name][one.index]

    def source_of(self, parsed: ParsedFile, imported: ImportedName) -> ParsedFile | None:
        """The file that an import of this file names; of a library's own repository none."""
        known = imported.level == 0 and imported.module.partition(".")[0] in self.libraries
        return None if known else self.imported(parsed.path, imported)

    def _resolve(self, path: Path) -> Path:
        """The real path; asking the file system once for each file is enough."""
        if path not in self._resolved:
            self._resolved[path] = path.resolve()
        return self._resolved[path]

    def mentioning(self, word: bytes) -> tuple[Path, ...]:
        """The project's Python and YAML files that hold the word; looked for once."""
        note((EVERYTHING,))
        return self._texts.mentioning(word)

    def scripts_naming(self, name: str) -> list[Path]:
        """Those of them that are Python and hold this name."""
        return [path for path in self.mentioning(name.encode()) if path.suffix == ".py"]

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
            note_path(candidate)
            if candidate.is_file():
                return candidate
        return None
