"""How little of a file must be parsed? Its outline at once; the bodies of its definitions when somebody looks at them.

A definition that starts at the margin, or at its class's own indentation, is parsed with `...` for its body. Its node
is of a subclass of `ast`'s own, under the same name, that parses the body when `body` or its end is asked for. The cut
is by lines, so it can be wrong where a string or a bracket holds lines that look like code. Each stub must come back as
a definition on its line with that `...` in its place; else, and where a cut leaves half a string, there is no skeleton.
A body that does not compile by itself raises `BrokenSkeleton`: whoever reads the file must parse the whole of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from ga_lint.source import unremarked
from ga_lint.syntax.stubs import MARGIN, Stub, members_at, stubs_of
from ga_lint.syntax.walk import statements, walk

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_TABS = re.compile(r"^ *\t", re.MULTILINE)  # indentation that has no one width
_FIRST_MEMBER = re.compile(r"\n( +)[^\s#]")
# `name = 8` and `name: int = 8` among the statements of a class, and what may go on as such on another line.
_NUMBER_IN = {
    four: re.compile(rf"\n {indent}\w+ *(?::[^\n]*?)?(?:= *[-+]?[\d.(\\]|[\[({{\\,] *(?:#[^\n]*)?\n)")
    for four, indent in ((True, "{4}"), (False, "+"))
}


class BrokenSkeleton(Exception):
    """A part of this file that was cut out by its lines is not what it looked like."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} must be parsed whole")
        self.path = path


class Skeleton(Struct, eq=False):
    """One file's outline. Its lazy nodes hold on to it; it must not to them, since nobody collects circles here."""

    path: Path
    text: str
    names: dict[int, str] = field(default_factory=dict)  # qualified, by the id of each definition that was seen
    stubs: dict[int, Stub] = field(default_factory=dict)  # by the id of their nodes

    def open_class(self, node: ast.ClassDef) -> list[ast.stmt]:
        """The class's statements, its methods as stubs."""
        stub = self.stubs[id(node)]
        first = _FIRST_MEMBER.search(self.text, stub.colon, stub.end)
        members = members_at(len(first[1])) if first else MARGIN
        for stubs in (list(stubs_of(self.text, members, stub.colon, stub.end, self._row_of(stub))), []):
            body = self._opened(stub, stubs)
            if body is not None and self._adopt(body, stubs):
                self._name(body, self.names[id(node)])
                return body
        raise BrokenSkeleton(self.path)

    def _opened(self, stub: Stub, stubs: list[Stub]) -> list[ast.stmt] | None:
        try:
            found = self._parsed("\n" * (stub.row - 1), stub.start, stub.end, stubs)
        except BrokenSkeleton:
            return None
        match found:
            case [ast.ClassDef(body=body)]:
                return body
        return None

    def open_function(self, node: FunctionNode) -> FunctionNode:
        """The function with its body."""
        stub = self.stubs[id(node)]
        pad = "\n" * (stub.row - 1)
        start = self.text.rfind("\n", 0, stub.start) + 1
        found = self._parsed(pad if start == stub.start else f"{pad[1:]}if 1:\n", start, stub.end, [])
        inner = found[0].body if start != stub.start and found and isinstance(found[0], ast.If) else found
        if len(found) != 1 or len(inner) != 1 or not isinstance(inner[0], FunctionNode):
            raise BrokenSkeleton(self.path)
        self._name(inner[0].body, self.names[id(node)])
        return inner[0]

    def _parsed(self, pad: str, start: int, end: int, stubs: list[Stub]) -> list[ast.stmt]:
        """The statements of a part of the text, on the lines where they stand."""
        parts, at = [pad], start
        for stub in stubs:
            parts += [self.text[at : stub.colon], "...", "\n" * self.text.count("\n", stub.colon, stub.end)]
            at = stub.end
        parts.append(self.text[at:end])
        try:
            with unremarked():
                return ast.parse("".join(parts), filename=str(self.path)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise BrokenSkeleton(self.path) from None

    def _adopt(self, body: list[ast.stmt], stubs: list[Stub]) -> bool:
        """Make lazy nodes of all stubs; False where one is not the definition that it looked like."""
        by_row = {stub.row: stub for stub in stubs}
        for node in body:
            stub = by_row.get(node.lineno)
            if stub is None or not isinstance(node, Definition) or not self._is_stub(node, stub):
                continue
            del by_row[node.lineno]
            self.stubs[id(node)] = stub
            del node.body
            node._skeleton = self  # type: ignore[union-attr]
            node.__class__ = _LAZY[type(node)]
        return not by_row

    def mentions(self, node: ast.AST, *words: str) -> bool:
        """Do the lines of this definition hold one of these words? Yes where it was no stub."""
        stub = self.stubs.get(id(node))
        return stub is None or any(self.text.find(word, stub.start, stub.end) >= 0 for word in words)

    def may_set_numbers(self, node: ast.ClassDef) -> bool:
        """May the class's own statements assign a number to a name? Yes where it was no stub."""
        stub = self.stubs.get(id(node))
        first = _FIRST_MEMBER.search(self.text, stub.colon, stub.end) if stub else None
        if stub is None or first is None:
            return True
        return _NUMBER_IN[len(first[1]) == 4].search(self.text, stub.colon, stub.end) is not None

    def _row_of(self, stub: Stub) -> int:
        """The row of the colon."""
        return stub.row + self.text.count("\n", stub.start, stub.colon)

    def _is_stub(self, node: Definition, stub: Stub) -> bool:
        match node.body:
            case [ast.Expr(value=ast.Constant(value=value)) as only] if value is ...:
                row = self._row_of(stub)
                line = self.text[self.text.rfind("\n", 0, stub.colon) + 1 : stub.colon]
                return only.lineno == row and only.col_offset == len(line.encode())
        return False

    def _name(self, body: list[ast.stmt], outer: str) -> None:
        """Note the qualified names of the definitions in there, as far as they are parsed."""
        for child in definitions(body):
            self.names[id(child)] = name = f"{outer}.{child.name}" if outer else child.name
            if "body" in child.__dict__:
                self._name(child.body, name)


def skeleton_of(text: str, path: Path) -> tuple[Skeleton, ast.Module] | None:
    """The outline of a text with its tree; None where it cannot be had, or where nothing would be gained."""
    if "\r" in text or "\f" in text or ("\t" in text and _TABS.search(text)):
        return None
    skeleton = Skeleton(path, text)
    stubs = list(stubs_of(text, MARGIN, 0, len(text), 1))
    try:
        body = skeleton._parsed("", 0, len(text), stubs)
    except BrokenSkeleton:
        return None
    if not stubs or not skeleton._adopt(body, stubs):
        return None
    skeleton._name(body, "")
    return skeleton, ast.Module(body, [])


def definitions(body: list[ast.stmt]) -> Iterator[Definition]:
    """The functions and classes among these statements, also those under `if`, `try` and the like, not each other's."""
    return (statement for statement in statements(body) if isinstance(statement, Definition))


def _whole(node: Any) -> Any:
    """A lazy function as itself again."""
    whole = node._skeleton.open_function(node)
    node.__class__ = type(whole)
    node.body, node.end_lineno, node.end_col_offset = whole.body, whole.end_lineno, whole.end_col_offset
    return node


def _body_of_function(node: Any, name: str) -> Any:
    if name != "body":
        raise AttributeError(name)
    return _whole(node).body


def _body_of_class(node: Any, name: str) -> Any:
    if name != "body":
        raise AttributeError(name)
    node.body = node._skeleton.open_class(node)
    return node.body


_OF_FUNCTION = {
    "__slots__": (),  # as a node's own, so that a node can become lazy and be itself again
    "__getattr__": _body_of_function,
    "end_lineno": property(lambda node: _whole(node).end_lineno),
    "end_col_offset": property(lambda node: _whole(node).end_col_offset),
}
_OF_CLASS = {
    "__slots__": (),
    "__getattr__": _body_of_class,
    "end_lineno": property(lambda node: node.body[-1].end_lineno),
    "end_col_offset": property(lambda node: node.body[-1].end_col_offset),
}
# Under the name of the node that each is: visitors go by that.
_MEMBERS = {ast.FunctionDef: _OF_FUNCTION, ast.AsyncFunctionDef: _OF_FUNCTION, ast.ClassDef: _OF_CLASS}
_LAZY: dict[type[ast.AST], type[Any]] = {
    kind: type(kind.__name__, (kind,), {**members, "__module__": __name__}) for kind, members in _MEMBERS.items()
}
_LAZY_CLASS = _LAZY[ast.ClassDef]


def complete(tree: ast.Module) -> None:
    """Parse all that is left, and make the nodes plain ones."""
    for node in walk(tree):
        if isinstance(node, _LAZY_CLASS):
            last = node.body[-1]
            end = last.end_lineno, last.end_col_offset
            node.__class__ = ast.ClassDef
            node.end_lineno, node.end_col_offset = end
