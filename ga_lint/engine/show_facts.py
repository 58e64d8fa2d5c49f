"""What did the facts layer see in a file? Its types as plain values, without what is as it is by default."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path, PurePath

from msgspec import Struct

from ga_lint.diagnostics import Step
from ga_lint.engine.facts_of import facts_of
from ga_lint.engine.fault import Fault
from ga_lint.engine.scope import Scope
from ga_lint.errors import SourceError
from ga_lint.facts.model import FileFacts, Place
from ga_lint.notebook import NotebookSource, read_text
from ga_lint.outcome import Clean, Failed, FileOutcome
from ga_lint.source import SourceFile, Span, cell_prefix
from ga_lint.syntax.parsed import ParseFailure

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
_LONGEST = 80  # characters of a place's text


class FactsReader:
    """Gathers the facts of every file that is visited."""

    def __init__(self) -> None:
        self.found: list[tuple[Path, dict[str, Plain]]] = []

    def visit(self, path: Path, data: bytes, scope: Scope, _named: bool) -> FileOutcome:
        try:
            self.found.append((path, shown_facts(read_text(path, data), scope)))
        except ParseFailure as failure:
            return Failed(path, f"line {failure.position.row}: {failure.message}")
        except SourceError as error:
            return Failed(path, str(error))
        except Exception as error:  # noqa: BLE001 - one file never stops the run
            fault = Fault.of("reading the facts", error)
            return Failed(path, fault.text, fault.internal)
        return Clean(path)


def shown_facts(source: SourceFile, scope: Scope) -> dict[str, Plain]:
    """All facts of one file by kind; ParseFailure or SourceError where it cannot be parsed."""
    return _Writer(source).file(facts_of(source, scope))


class _Writer:
    def __init__(self, source: SourceFile) -> None:
        self._source = source

    def file(self, facts: FileFacts) -> dict[str, Plain]:
        """Every kind of fact, also those of which there is none: that they were not seen is worth knowing."""
        simple = [name for name in facts.__struct_fields__ if name not in ("path", "raggedness")]
        sites = sorted(facts.raggedness, key=lambda site: (site.call.path, site.call.span))
        ragged: list[Plain] = [
            {"loss": self.value(site.call), **self._fields(facts.raggedness_of(site))} for site in sites
        ]
        return {name: self.value(getattr(facts, name)) for name in simple} | {"raggedness": ragged}

    def value(self, value: object) -> Plain:
        match value:
            case None | bool() | int() | float() | str():
                return value
            case enum.Enum():
                return value.name.lower() if isinstance(value.value, int) else str(value.value)
            case Place():
                return self._place(value.path, value.span)
            case Step():
                return f"{value.message}: {self._place(value.path, value.span)}"
            case tuple() | list():
                return [self.value(each) for each in value]
            case PurePath():
                return value.as_posix()
            case Struct():
                return self._fields(value)
            case _:
                raise TypeError(f"a fact of type {type(value).__name__}")

    def _fields(self, value: Struct) -> dict[str, Plain]:
        return dict(self._told(value))

    def _told(self, value: Struct) -> Iterator[tuple[str, Plain]]:
        names, defaults = value.__struct_fields__, value.__struct_defaults__
        usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        for name in names:
            found = getattr(value, name)
            if name not in usual or found != usual[name]:
                yield name, self.value(found)

    def _place(self, path: PurePath, span: Span) -> str:
        """`13:9 loss.backward()`, behind the path where it is another file's."""
        start, end = span.start, span.end
        if path != self._source.path:
            return f"{path.as_posix()}:{start.row}:{start.column}"
        cell, shift = "", 0
        if isinstance(self._source, NotebookSource):
            part = self._source.part_of(start.row)
            cell, shift = cell_prefix(part.cell), part.rows_above
        line = self._source.lines[start.row - 1] if start.row <= len(self._source.lines) else ""
        text = line[start.column - 1 : end.column - 1 if end.row == start.row else None].rstrip()
        text = text if len(text) <= _LONGEST and end.row == start.row else f"{text[:_LONGEST]} ..."
        return f"{cell}{start.row - shift}:{start.column} {text}".rstrip()
