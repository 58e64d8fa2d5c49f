"""How do other programs write a notebook? A writer of its own, so that a test knows every byte that it expects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ga_lint.source import UTF8_BOM


@dataclass(frozen=True)
class Raw:
    """JSON text as it stands."""

    text: str


@dataclass(frozen=True)
class Line:
    """One line of a cell whose JSON spelling is its own."""

    spelling: str


Value = str | Raw | list["Value"] | dict[str, "Value"] | list[tuple[str, "Value"]] | None


@dataclass(frozen=True)
class CodeCell:
    """Lines without their ends. `ends` says whether the last one has an end too."""

    lines: Sequence[str | Line]
    as_list: bool = True
    ends: bool = False
    source_first: bool = False


@dataclass(frozen=True)
class Style:
    """What one program does, and another does not."""

    indent: str | None = " "
    newline: str = "\n"
    is_ascii: bool = False
    escapes_slashes: bool = False
    is_spaced: bool = True
    has_bom: bool = False
    final_newline: bool = True
    metadata_first: bool = False
    row_end: str = r"\n"


@dataclass(frozen=True)
class Book:
    """A notebook: a markdown cell, then these code cells, each with outputs that no serialiser gives back."""

    cells: Sequence[CodeCell]
    style: Style = field(default_factory=Style)

    def with_texts(self, texts: Sequence[Sequence[str]]) -> Book:
        """The same notebook with other lines in its cells; a line that stays keeps its spelling."""
        cells = []
        for cell, lines in zip(self.cells, texts, strict=True):
            known = {text_of(line): line for line in cell.lines}
            cells.append(replace(cell, lines=[known.get(line, line) for line in lines]))
        return replace(self, cells=cells)

    def written(self) -> bytes:
        markdown = Raw(self._object([("cell_type", "markdown"), ("metadata", Raw("{}")), ("source", ["# é"])], 2))
        cells = [markdown, *(Raw(self._cell(cell)) for cell in self.cells)]
        body = [("cells", cells), ("nbformat", Raw("4")), ("nbformat_minor", Raw("5"))]
        kernel = Raw('{"kernelspec": {"language": "python"}, "twice": 1, "twice": 1.0}')
        at = 0 if self.style.metadata_first else 1
        text = self._object([*body[:at], ("metadata", kernel), *body[at:]], 0)
        text += self.style.newline if self.style.final_newline else ""
        return (UTF8_BOM if self.style.has_bom else b"") + text.encode()

    def _cell(self, cell: CodeCell) -> str:
        outputs = Raw('[{"data": [1e-05, 0.10000000000000001, 1E400, NaN, 123456789012345678901], "t": "\\u00e9é\\/"}]')
        rest = [("cell_type", "code"), ("execution_count", Raw("3")), ("id", "a-b"), ("outputs", outputs)]
        source = ("source", self._source(cell))
        return self._object([source, *rest] if cell.source_first else [*rest, source], 2)

    def _source(self, cell: CodeCell) -> list[Raw] | Raw:
        end = self.style.row_end
        ends = [end] * (len(cell.lines) - 1) + [end if cell.ends else ""]
        lines = [self._spelled(line) + end for line, end in zip(cell.lines, ends, strict=False)]
        return [Raw(f'"{line}"') for line in lines] if cell.as_list else Raw(f'"{"".join(lines)}"')

    def _spelled(self, line: str | Line) -> str:
        text = line.spelling if isinstance(line, Line) else json.dumps(line, ensure_ascii=self.style.is_ascii)[1:-1]
        return text.replace("/", r"\/") if self.style.escapes_slashes else text

    def _value(self, value: object, depth: int) -> str:
        if isinstance(value, Raw):
            return value.text
        if isinstance(value, list):
            return self._enclosed("[", [self._value(each, depth + 1) for each in value], "]", depth)
        return f'"{self._spelled(str(value))}"'

    def _object(self, pairs: Sequence[tuple[str, object]], depth: int) -> str:
        colon = ": " if self.style.is_spaced else ":"
        members = [f'"{key}"{colon}{self._value(value, depth + 1)}' for key, value in pairs]
        return self._enclosed("{", members, "}", depth)

    def _enclosed(self, opening: str, items: Sequence[str], closing: str, depth: int) -> str:
        style = self.style
        if not items:
            return opening + closing
        if style.indent is None:
            return opening + (", " if style.is_spaced else ",").join(items) + closing
        inner, outer = (style.newline + style.indent * level for level in (depth + 1, depth))
        return opening + inner + f",{inner}".join(items) + outer + closing


def text_of(line: str | Line) -> str:
    return str(json.loads(f'"{line.spelling}"')) if isinstance(line, Line) else line


def sources(data: bytes) -> list[str]:
    """The text of each code cell."""
    return ["".join(cell["source"]) for cell in json.loads(data)["cells"] if cell["cell_type"] == "code"]
