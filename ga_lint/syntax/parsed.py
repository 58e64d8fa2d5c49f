"""Where does each node stand, and inside which function?"""

from __future__ import annotations

import ast
import bisect
import itertools
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field

from ga_lint.errors import SourceError
from ga_lint.grammar import tree_of
from ga_lint.source import Position, SourceFile, Span
from ga_lint.syntax.numbers import number_of, numeric_defaults
from ga_lint.syntax.skeleton import FunctionNode as FunctionNode
from ga_lint.syntax.skeleton import Skeleton, complete, definitions, skeleton_of
from ga_lint.syntax.walk import in_order, walk

Node = TypeVar("Node", bound=ast.AST)


class ParseFailure(Exception):
    """The text is not Python: what the parser said, and where."""

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class ParsedFile(Struct, frozen=True, dict=True):
    """One module's tree. Spans count code points although `ast` counts UTF-8 bytes."""

    source: SourceFile
    tree: ast.Module
    skeleton: Skeleton | None = None  # where bodies are parsed when somebody looks at them
    _by_row: dict[type[ast.AST], list[ast.AST]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.source.path

    def span_of(self, node: ast.AST) -> Span:
        """The node's place, from its first to behind its last character.

        It is kept on the node: the id of one that was made for a moment is soon another's.
        """
        span: Span | None = getattr(node, "_ga_lint_span", None)
        if span is None:
            start = self._position(node.lineno, node.col_offset)  # type: ignore[attr-defined]
            end = self._position(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
            span = node._ga_lint_span = Span(start, end)  # type: ignore[attr-defined]
        return span

    @cached_property
    def walked(self) -> list[ast.AST]:
        """Every node but contexts and operators, level by level; walked once, since a dozen questions need all."""
        if self.skeleton is not None:
            complete(self.tree)
        return walk(self.tree)

    @cached_property
    def nodes(self) -> dict[type[ast.AST], list[ast.AST]]:
        """The same by their type, in the order of the text as far as one walk gives it."""
        if self.skeleton is not None:
            complete(self.tree)
        found: dict[type[ast.AST], list[ast.AST]] = {}
        for node in in_order(self.tree):
            found.setdefault(type(node), []).append(node)
        return found

    def of(self, kind: type[Node]) -> Iterator[Node]:
        """Every node of one type, as `nodes` has them."""
        return iter(self.nodes.get(kind, ()))  # type: ignore[arg-type]

    def speaking(self, kind: type[Node], *words: str) -> Iterator[Node]:
        """Every node of one type but those in definitions that hold none of these words."""
        if self.skeleton is None:
            return self.of(kind)
        return (node for node in self._speaking(self.tree, words) if isinstance(node, kind))

    def speaking_below(self, inside: ast.AST, *words: str) -> Iterator[ast.AST]:
        """Every node below this one but those in definitions that hold none of these words."""
        return self._speaking(inside, words)

    def _speaking(self, inside: ast.AST, words: tuple[str, ...]) -> Iterator[ast.AST]:
        enter = None if self.skeleton is None else lambda node: self.mentions(node, *words)
        return in_order(inside, enter)

    def functions(self, *words: str) -> list[FunctionNode]:
        """Every function that holds one of these words; every function at all of a file that is parsed as a whole."""
        if self.skeleton is None:
            return self._functions
        nodes = self.speaking_below(self.tree, *words)
        return [node for node in nodes if isinstance(node, FunctionNode) and self.mentions(node, *words)]

    @cached_property
    def _functions(self) -> list[FunctionNode]:
        return [node for node in self.walked if isinstance(node, FunctionNode)]

    def find(self, kind: type[Node], inside: ast.AST | None = None) -> Iterator[Node]:
        """Every node of one type, in the whole file or among the lines of a definition, by row."""
        if inside is None:
            return self.on_rows(kind, 1, len(self.source.lines) + 1)
        if self.skeleton is not None:  # the rest of the file need not be parsed for it
            return iter(_found_in(inside, kind))
        return self.on_rows(kind, _row(inside), _last_row(inside))

    def on_rows(self, kind: type[Node], first: int, last: int) -> Iterator[Node]:
        """Every node of one type that starts on these rows."""
        nodes = self._by_row.get(kind)
        if nodes is None:
            nodes = self._by_row[kind] = sorted(self.nodes.get(kind, ()), key=_row)
        start = bisect.bisect_left(nodes, first, key=_row)
        for node in itertools.islice(nodes, start, None):
            if _row(node) > last:
                return
            if isinstance(node, kind):
                yield node

    @cached_property
    def numbers(self) -> dict[str, float]:
        """The numbers that command-line options and configuration fields default to, by name."""
        return {name: number for name, node in self.defaults.items() if (number := number_of(node)) is not None}

    @cached_property
    def defaults(self) -> dict[str, ast.expr]:
        """Where those numbers are written."""
        calls = self.find(ast.Call) if b"add_argument" in self.source.data else ()
        classes = (node for node in self.tree.body if isinstance(node, ast.ClassDef))
        if (skeleton := self.skeleton) is not None:
            classes = (node for node in classes if skeleton.may_set_numbers(node))
        return numeric_defaults(calls, classes)

    @cached_property
    def scopes(self) -> dict[int, str]:
        """The qualified name of the function or class around each definition, by `id` of its node."""
        names: dict[int, str] = {}
        todo: list[tuple[list[ast.stmt], str]] = [(self.tree.body, "")]
        while todo:
            body, outer = todo.pop()
            for child in definitions(body):
                name = names[id(child)] = f"{outer}.{child.name}" if outer else child.name
                todo.append((child.body, name))
        return names

    def name_of(self, node: ast.AST) -> str:
        """The qualified name of this function or class; empty for what has none."""
        names = self.scopes if self.skeleton is None else self.skeleton.names
        return names.get(id(node), "")

    def mentions(self, node: ast.AST, *words: str) -> bool:
        """May this definition hold one of these words? Asked of the text, so that its body need not be parsed."""
        return self.skeleton is None or self.skeleton.mentions(node, *words)

    def _position(self, row: int, byte_column: int) -> Position:
        if self.source.text.isascii():
            return Position(row, byte_column + 1)
        line = self.source.lines[row - 1] if row <= len(self.source.lines) else ""
        if not line.isascii():
            byte_column = len(line.encode()[:byte_column].decode(errors="replace"))
        return Position(row, byte_column + 1)


def parse(source: SourceFile, *, lazily: bool = False) -> ParsedFile:
    """Parse the text; ParseFailure if it is not Python, SourceError if it is too deep for the parser.

    `lazily`: bodies are parsed when they are looked at, which may raise BrokenSkeleton. That pays where another file is
    only asked for a few names.
    """
    if lazily and type(source) is SourceFile and (outline := skeleton_of(source.text, source.path)) is not None:
        return ParsedFile(source, outline[1], outline[0])
    try:
        tree = tree_of(source.text, str(source.path))
    except SyntaxError as error:
        row = min(max(error.lineno or 1, 1), max(len(source.lines), 1))
        raise ParseFailure(error.msg, Position(row, max(error.offset or 1, 1))) from None
    except ValueError as error:
        raise ParseFailure(str(error), Position(1, 1)) from None
    except (RecursionError, MemoryError):
        raise SourceError("nested too deeply to be parsed; exclude it") from None
    return ParsedFile(source, tree)


def _found_in(inside: ast.AST, kind: type[Node]) -> list[Node]:
    """The nodes of one type below a definition, by row; kept on its node, since others ask as well."""
    found: dict[type[ast.AST], list[Node]] | None = inside.__dict__.get("_ga_lint_found")
    if found is None:
        found = inside._ga_lint_found = {}  # type: ignore[attr-defined]
        for node in walk(inside):
            found.setdefault(type(node), []).append(node)  # type: ignore[arg-type]
    return sorted(found.get(kind, ()), key=_row)


def _row(node: ast.AST) -> int:
    return node.lineno  # type: ignore[attr-defined,no-any-return]


def _last_row(node: ast.AST) -> int:
    return node.end_lineno  # type: ignore[attr-defined,no-any-return]
