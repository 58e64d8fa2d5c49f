"""Where in the LibCST tree is the place that a rule named, and what stands around it?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar, cast

import libcst as cst
from libcst.metadata import CodePosition, CodeRange, PositionProvider
from libcst.metadata.position_provider import PositionProvidingCodegenState

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.limits import refuse_beyond
from ga_lint.fixers.nodes import parents_below
from ga_lint.fixers.outline import Outline, close, refuse_marks
from ga_lint.source import Part, Position, SourceFile, Span
from ga_lint.syntax.repeatable import shortest

Node = TypeVar("Node", bound=cst.CSTNode)
Block = cst.IndentedBlock | cst.Module
# Every statement that has lines of its own above it: all of LibCST's, but its abstract base does not say so.
Statement = (
    cst.SimpleStatementLine
    | cst.FunctionDef
    | cst.ClassDef
    | cst.If
    | cst.For
    | cst.While
    | cst.With
    | cst.Try
    | cst.TryStar
    | cst.Match
)


class _Positions(PositionProvider):
    """LibCST finds places by writing the module out: so it is written once, for its text too."""

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        state = PositionProvidingCodegenState(module.default_indent, module.default_newline, provider=self)
        try:
            module._codegen(state)
        except (RecursionError, KeyError):  # its own tidying up turns the one into the other
            raise FixNotApplicable("it is nested too deeply for LibCST") from None
        self.ranges = cast("dict[cst.CSTNode, CodeRange]", self._computed)
        self.text = "".join(state.tokens)


def _called(kind: type[cst.CSTNode]) -> str:
    """BinaryOperation: binary operation."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


class Tree:
    """One module as LibCST sees it, with the places and the parents of its nodes.

    With an outline, whoever looks into what that leaves out gets `CutShort`.
    """

    def __init__(self, source: SourceFile, outline: Outline | None = None) -> None:
        self.source = source
        self._outline = outline or Outline(source.text, {})
        text = self._outline.text
        refuse_beyond(text)
        try:
            module = cst.parse_module(text)
        except (cst.ParserSyntaxError, RecursionError):
            raise FixNotApplicable("LibCST cannot parse this file") from None
        written = _Positions(module)
        if written.text != text or source.encode(source.text) != source.data:
            raise FixNotApplicable("LibCST cannot write this file back byte for byte")
        self.module = module
        self._parents = parents_below(module)
        close(module, self._outline.bodies)
        self._ranges = written.ranges
        self._by_start: dict[CodePosition, list[cst.CSTNode]] = {}
        for node, where in self._ranges.items():
            self._by_start.setdefault(where.start, []).append(node)

    def expression(self, span: Span) -> cst.BaseExpression:
        """The expression, of any kind, at exactly this place."""
        for node in self._at(span):
            if isinstance(node, cst.BaseExpression):
                return node
        raise FixNotApplicable(f"no expression on line {span.start.row}")

    def find(self, span: Span, *kinds: type[Node]) -> Node:
        """The node of one of these kinds at exactly this place."""
        for node in self._at(span):
            if isinstance(node, kinds):
                return node
        raise FixNotApplicable(f"no {' or '.join(map(_called, kinds))} on line {span.start.row}")

    def _at(self, span: Span) -> Iterator[cst.CSTNode]:
        start, end = (CodePosition(each.row, each.column - 1) for each in (span.start, span.end))
        return (node for node in self._by_start.get(start, ()) if self._ranges[node].end == end)

    def span_of(self, node: cst.CSTNode) -> Span:
        where = self._ranges[node]
        start = Position(where.start.line, where.start.column + 1)
        return Span(start, Position(where.end.line, where.end.column + 1))

    def part_of(self, node: cst.CSTNode) -> Part:
        """The part of the file that is run as one with this node."""
        return self.source.part_of(self._ranges[node].start.line)

    def code(self, node: cst.CSTNode) -> str:
        return refuse_marks(self.module.code_for_node(node))

    def written(self, changed: cst.Module) -> str:
        """The whole text of this module after some change."""
        return self._outline.filled(changed.code)

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        return self._parents.get(node)

    def around(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """The nodes around this one, the nearest first."""
        outer = self.parent(node)
        while outer is not None:
            yield outer
            outer = self.parent(outer)

    def inside(self, node: cst.CSTNode, kind: type[Node]) -> list[Node]:
        """The nodes of this kind in there, in the order of the text."""
        return sorted((each for each in (node, *parents_below(node)) if isinstance(each, kind)), key=self.span_of)

    def expressions_in(self, node: cst.CSTNode) -> list[cst.BaseExpression]:
        """Every expression in there, in the order of the text."""
        return self.inside(node, cst.BaseExpression)  # type: ignore[type-abstract]

    def enclosing(self, node: cst.CSTNode, *kinds: type[Node]) -> Node | None:
        return next((outer for outer in self.around(node) if isinstance(outer, kinds)), None)

    def function_of(self, node: cst.CSTNode) -> cst.FunctionDef:
        function = self.enclosing(node, cst.FunctionDef)
        if function is None:
            raise FixNotApplicable("the code stands outside any function")
        return function

    def scope_of(self, node: cst.CSTNode) -> cst.FunctionDef | cst.Module:
        """What the names there belong to: the function around it, or the module."""
        return self.enclosing(node, cst.FunctionDef) or self.module

    def class_of(self, function: cst.FunctionDef) -> cst.ClassDef:
        """The class whose method this is."""
        owner = self.enclosing(function, cst.ClassDef, cst.FunctionDef)
        if not isinstance(owner, cst.ClassDef):
            raise FixNotApplicable(f"{function.name.value} is not written inside a class")
        return owner

    def statement_of(self, node: cst.CSTNode) -> cst.SimpleStatementLine:
        """The line that holds this expression or small statement, alone on it and in an indented block."""
        line = node if isinstance(node, cst.SimpleStatementLine) else self.enclosing(node, cst.SimpleStatementLine)
        if line is None or len(line.body) != 1:
            row = self.span_of(node).start.row
            raise FixNotApplicable(f"line {row} holds more than one statement; give each its own line")
        return line

    def block_of(self, statement: cst.CSTNode) -> Block:
        block = self.parent(statement)
        if not isinstance(block, Block):
            raise FixNotApplicable("the statement shares its line with the head of its block")
        return block

    def top_level(self, node: cst.CSTNode) -> Statement:
        """The statement of the module itself that holds this node."""
        inner = node
        for outer in self.around(node):
            if isinstance(outer, cst.Module):
                break
            inner = outer
        assert isinstance(inner, Statement)
        return inner

    def parse_statements(self, text: str, like: cst.CSTNode) -> list[Statement]:
        """New statements with the file's line ends and the indentation of the code around `like`."""
        newline = self.module.default_newline
        unit = self._indent_around(like)
        parsed = cst.parse_module(reindented(text, unit).replace("\n", newline), self.module.config_for_parsing)
        statements = [statement for statement in parsed.body if isinstance(statement, Statement)]
        if parsed.header:  # LibCST gives comments above the first statement to the module
            first = statements[0]
            above = [line if line.comment else line.with_changes(indent=False) for line in parsed.header]
            statements[0] = first.with_changes(leading_lines=[*above, *first.leading_lines])
        return statements

    def parse_expression(self, text: str) -> cst.BaseExpression:
        return cst.parse_expression(text, self.module.config_for_parsing)

    def count_again(self, count: str) -> str:
        """The count, to be written a second time: as short as it can be, with the quotes that the file prefers."""
        expression = shortest(count)
        if expression is None:
            raise FixNotApplicable(f"`{count}` cannot be computed a second time")
        prefers_double = self.source.text.count('"') >= self.source.text.count("'")
        return expression.replace("'", '"') if prefers_double and not set(expression) & set('"\\') else expression

    def _indent_around(self, node: cst.CSTNode) -> str:
        own = [node] if isinstance(node, cst.IndentedBlock) else []
        blocks = [*own, *(outer for outer in self.around(node) if isinstance(outer, cst.IndentedBlock))]
        return (blocks[0].indent if blocks else None) or self.module.default_indent


def reindented(text: str, unit: str) -> str:
    """Templates are written with four spaces."""
    lines = []
    for line in text.split("\n"):
        body = line.lstrip(" ")
        depth, rest = divmod(len(line) - len(body), 4)
        lines.append(unit * depth + " " * rest + body if body else "")
    return "\n".join(lines)


def dotted(node: cst.CSTNode) -> str | None:
    """`a.b.c` as text, or None when it is anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        base = dotted(node.value)
        return None if base is None else f"{base}.{node.attr.value}"
    return None
