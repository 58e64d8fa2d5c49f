"""How is a tree changed at a few places, and left alone everywhere else?

A fixer plans (`Edits`), then one transformer carries the plan out. Changed nodes are functions of the node as it is
after the edits inside it, so that a new parameter and a new line in the same function do not disturb one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import libcst as cst
from msgspec import Struct, field

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.tree import Block, Node, Statement, Tree
from ga_lint.source import Span

Change = Callable[[cst.CSTNode], cst.CSTNode]


class Rewrite(Struct, frozen=True):
    """The new text, and the places of the old text that may differ in it."""

    text: str
    touched: tuple[Span, ...]
    notes: tuple[str, ...] = ()  # what else the user should know


class Edits(Struct):
    """What is to be done, by the node of the original tree that it is done to."""

    tree: Tree
    first_row: int = 1  # of the places that the request names: what they need has to stand above
    _changes: dict[cst.CSTNode, list[Change]] = field(default_factory=dict)
    _before: dict[cst.CSTNode, list[Statement]] = field(default_factory=dict)
    _spacing: dict[cst.CSTNode, tuple[int, int]] = field(default_factory=dict)
    _after: dict[cst.CSTNode, list[Statement]] = field(default_factory=dict)
    _removed: set[cst.CSTNode] = field(default_factory=set)
    _notes: dict[str, None] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Tell the user what the rewrite changes besides what it is for."""
        self._notes[text] = None

    def is_changed(self, node: cst.CSTNode) -> bool:
        return node in self._changes

    def change(self, node: Node, change: Callable[[Node], cst.CSTNode]) -> None:
        self._changes.setdefault(node, []).append(cast("Change", change))

    def replace(self, node: cst.BaseExpression, text: str) -> None:
        """Put another expression in its place; comments inside the old one would be lost, so that is refused."""
        if "#" in self.tree.code(node):
            row = self.tree.span_of(node).start.row
            raise FixNotApplicable(f"there is a comment inside the expression on line {row}")
        self.change(node, lambda _: self.tree.parse_expression(text))

    def insert_before(self, statement: Statement, text: str, gap: int = 0, above: int = 0) -> None:
        """Put statements above this one and its comments: `gap` blank lines between, at least `above` over them."""
        self.tree.block_of(statement)
        self._spacing[statement] = gap, above
        self._before.setdefault(statement, []).extend(self.tree.parse_statements(text, statement))

    def insert_after(self, statement: Statement, text: str) -> None:
        """Put statements below this one."""
        self.tree.block_of(statement)
        self._after.setdefault(statement, []).extend(self.tree.parse_statements(text, statement))

    def remove(self, node: cst.CSTNode) -> None:
        """Take away the line of this node; an `if` that held nothing else goes too, any other block keeps a `pass`."""
        block = self.tree.enclosing(node, cst.IndentedBlock, cst.SimpleStatementSuite, cst.Module)
        assert isinstance(block, cst.IndentedBlock | cst.SimpleStatementSuite | cst.Module)
        outer = self.tree.parent(block)
        if len(block.body) > 1 or isinstance(block, cst.Module):
            self._removed.add(self.tree.statement_of(node))
        elif isinstance(outer, cst.If) and outer.orelse is None and isinstance(self.tree.parent(outer), Block):
            self._removed.add(outer)
        else:
            self.change(self.tree.statement_of(node), lambda line: line.with_changes(body=[cst.Pass()]))

    def apply(self) -> Rewrite:
        module = self.tree.module.visit(_Apply(self))
        touched = sorted(self.tree.span_of(node) for node in (*self._changes, *self._removed))
        return Rewrite(self.tree.written(module), tuple(touched), tuple(self._notes))


class _Apply(cst.CSTTransformer):
    """Carries out a plan in one pass."""

    def __init__(self, edits: Edits) -> None:
        super().__init__()
        self.edits = edits
        planned = (*edits._changes, *edits._before, *edits._after, *edits._removed)
        self._ways = {outer for node in planned for outer in (node, *edits.tree.around(node))}

    def on_visit(self, node: cst.CSTNode) -> bool:
        return node in self._ways  # nothing is to be done below any other

    def on_leave(self, original: cst.CSTNode, updated: cst.CSTNode) -> cst.CSTNode:  # type: ignore[override]
        if isinstance(original, Block):
            updated = self._block(original, cast("Block", updated))
        for change in self.edits._changes.get(original, ()):
            updated = change(updated)
        return updated

    def _block(self, original: Block, updated: Block) -> Block:
        edits = self.edits
        if not any(node in each for node in original.body for each in (edits._before, edits._after, edits._removed)):
            return updated
        body: list[Statement] = []
        orphans: list[cst.EmptyLine] = []  # comments of removed lines go to the line that follows
        for old, new in zip(original.body, updated.body, strict=True):
            statement = cast("Statement", new)
            if old in edits._removed:
                orphans.extend(comments_of(statement))
                group = [*edits._before.get(old, []), *edits._after.get(old, [])]  # what takes its place
                if not group:
                    continue
            else:
                group = [statement, *edits._after.get(old, [])]
            if old in edits._before and old not in edits._removed:
                group = [*_placed_above(edits._before[old], statement, *edits._spacing[old]), *group[1:]]
            if orphans:
                group[0] = group[0].with_changes(leading_lines=_joined(orphans, group[0].leading_lines))
                orphans = []
            body.extend(group)
        updated = updated.with_changes(body=body)
        return updated.with_changes(footer=[*orphans, *updated.footer]) if orphans else updated


def _placed_above(new: Sequence[Statement], statement: Statement, gap: int, above: int) -> list[Statement]:
    """Blank lines above a statement stay above what is put before it; its comments stay with it."""
    lines = list(statement.leading_lines)
    blank = next((index for index, line in enumerate(lines) if line.comment is not None), len(lines))
    missing = [cst.EmptyLine(indent=False)] * max(0, above - blank)
    first = new[0].with_changes(leading_lines=[*missing, *lines[:blank], *new[0].leading_lines])
    spaced = [*[cst.EmptyLine(indent=False)] * gap, *lines[blank:]]
    return [first, *new[1:], statement.with_changes(leading_lines=spaced)]


def _joined(orphans: Sequence[cst.EmptyLine], lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """What stood above a line that is gone, and above the next one: a gap on both sides becomes one gap."""
    if any(line.comment is not None for line in orphans):
        return [*orphans, *lines]
    gap = next((index for index, line in enumerate(lines) if line.comment is not None), len(lines))
    return [*orphans[gap:], *lines]


def comments_of(statement: Statement) -> list[cst.EmptyLine]:
    """The comments of a statement that goes away, each on a line of its own; the blank lines above it too."""
    kept = list(statement.leading_lines)
    seen = {id(line.comment) for line in kept if line.comment is not None}

    class Comments(cst.CSTVisitor):
        def visit_Comment(self, node: cst.Comment) -> None:
            if id(node) not in seen:
                kept.append(cst.EmptyLine(comment=node))

    statement.visit(Comments())
    return kept
