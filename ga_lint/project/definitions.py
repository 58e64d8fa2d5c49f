"""Where is a name defined in the end? Re-exports followed through the project, each remembered on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from ga_lint.syntax.bindings import ImportedName, ModuleBindings
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.trail import note, recording

Key = tuple[Path, str]  # a file and a name at its module level
DESCRIBED = -1  # the index of what a row of the project's own says, in the place of all bindings


class Defined(Struct, frozen=True):
    """One binding: which of those that this file has for the name. No tree is held on to."""

    path: Path
    name: str
    index: int


class _Known(Struct, frozen=True):
    """What a name leads to, and what that came from: places that were looked at, and names further on."""

    found: tuple[Defined, ...]
    places: frozenset[str]
    further: tuple[Key, ...]


class Modules(Protocol):
    """What is asked of the project."""

    def bindings(self, parsed: ParsedFile) -> ModuleBindings:
        """The file's module-level names."""

    def described(self, parsed: ParsedFile, name: str) -> ImportedName | None:
        """How a row of the project's own names what this file calls so."""

    def source_of(self, parsed: ParsedFile, imported: ImportedName) -> ParsedFile | None:
        """The project's own file that an import of this file names."""


class Definitions:
    """The answers so far. One that a circle cut short is only good for whoever asked, and not kept."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._known: dict[Key, _Known] = {}
        self._texts: dict[Path, int] = {}  # hashes of the files that answers came from

    def added(self, parsed: ParsedFile) -> None:
        """Another text under a path makes all answers doubtful."""
        if self._texts.get(parsed.path, same := hash(parsed.source.data)) != same:
            self._known.clear()
            self._texts.clear()

    def of(self, parsed: ParsedFile, name: str) -> tuple[Defined, ...]:
        """The bindings that this name of the file leads to."""
        key = (parsed.path, name)
        if key not in self._known:
            with recording() as places:
                found, sure = self._look(parsed, name, set())
            if not sure:  # for whoever starts here the circle is what it is
                self._known[key] = _Known(found, frozenset(places), ())
            return found
        self._tell(key)
        return self._known[key].found

    def _tell(self, key: Key) -> None:
        """Note all that an answer came from."""
        todo, seen = [key], {key}
        while todo:
            known = self._known.get(todo.pop())
            if known is not None:
                note(known.places)
                fresh = [one for one in known.further if one not in seen]
                seen.update(fresh)
                todo += fresh

    def _look(self, parsed: ParsedFile, name: str, seen: set[Key]) -> tuple[tuple[Defined, ...], bool]:
        """What the name leads to, and whether no circle cut that short; plain re-exports are gone through in place."""
        hops: list[tuple[Key, frozenset[str]]] = []
        while True:
            key = (parsed.path, name)
            if key in self._known:
                self._tell(key)
                found, sure = self._known[key].found, True
                break
            if key in seen:
                found, sure = (), False
                break
            seen.add(key)
            self._texts.setdefault(parsed.path, hash(parsed.source.data))
            with recording() as places:
                step = self._re_exported(parsed, name)
                source = self._modules.source_of(parsed, step) if step else None
            if step is None or step.name is None or source is None:
                found, sure = self._of_each(parsed, name, seen)
                break
            hops.append((key, frozenset(places)))
            parsed, name = source, step.name
        found = found or tuple(Defined(*last, 0) for last, _ in hops[-1:])  # the last that could be followed
        if sure:
            self._remember(hops, key, found)
        return found, sure

    def _remember(self, hops: list[tuple[Key, frozenset[str]]], last: Key, found: tuple[Defined, ...]) -> None:
        for key, places in reversed(hops):
            self._known[key] = _Known(found, places, (last,))
            last = key

    def _re_exported(self, parsed: ParsedFile, name: str) -> ImportedName | None:
        """The one import that gives the name, where there is nothing else."""
        if self._modules.described(parsed, name) is not None:
            return None
        match self._modules.bindings(parsed).by_name.get(name, ()):
            case [ImportedName() as only]:
                return only
        return None

    def _of_each(self, parsed: ParsedFile, name: str, seen: set[Key]) -> tuple[tuple[Defined, ...], bool]:
        """By every binding of the name, or by the modules of which all names are taken."""
        found: list[Defined] = []
        certain = True
        further: list[Key] = []
        if self._modules.described(parsed, name) is not None:
            return (Defined(parsed.path, name, DESCRIBED),), True
        bindings = self._modules.bindings(parsed)
        with recording() as places:
            for index, binding in enumerate(bindings.by_name.get(name, ())):
                below: tuple[Defined, ...] = ()
                if isinstance(binding, ImportedName) and binding.name is not None:
                    source = self._modules.source_of(parsed, binding)
                    if source is not None:
                        below, sure = self._look(source, binding.name, seen)
                        certain = certain and sure
                        further.append((source.path, binding.name))
                found += below or (Defined(parsed.path, name, index),)  # a submodule, or defined outside the project
            for star in bindings.stars if name not in bindings.by_name else ():
                source = self._modules.source_of(parsed, star)
                if source is not None:
                    below, sure = self._look(source, name, seen)
                    certain = certain and sure
                    found += below
        if certain:
            self._known[parsed.path, name] = _Known((*dict.fromkeys(found),), frozenset(places), tuple(further))
        return (*dict.fromkeys(found),), certain
