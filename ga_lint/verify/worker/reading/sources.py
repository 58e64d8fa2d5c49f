"""Where is a name defined in this file, or in the file it is imported from? Text and trees; nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.While | ast.AsyncFor
_ROOT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")
_MAX_BYTES = 2_000_000  # a generated table, not a training helper


class Module:
    """One file: its tree, the statements that bind each name at its top level, and each node's parent."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.lines = text.splitlines()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.tree = ast.parse(text, filename=str(path))
        self.parents = {id(child): node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def top(self) -> dict[str, list[ast.stmt]]:
        return bindings(self.tree.body)

    def functions_around(self, node: ast.AST) -> list[Function]:
        """The functions that `node` stands in, innermost first."""
        found: list[Function] = []
        outer = self.parents.get(id(node))
        while outer is not None:
            if isinstance(outer, Function):
                found.append(outer)
            outer = self.parents.get(id(outer))
        return found

    def find(self, scope: str, row: int | None = None) -> ast.AST | None:
        """The definition with this qualified name; of several the one around `row`, else the last."""
        found = [node for name, node in _definitions(self.tree, "") if name == scope]
        around = [n for n in found if row is not None and n.lineno <= row <= (n.end_lineno or n.lineno)]
        chosen = around or found
        return chosen[-1] if chosen else None

    def line(self, row: int) -> str:
        return self.lines[row - 1].strip() if 0 < row <= len(self.lines) else ""


def project_root(path: Path) -> Path:
    """The folder that bounds what is read: the nearest one with a project's mark, else two above the file's."""
    for folder in path.parents:
        if any((folder / mark).exists() for mark in _ROOT_MARKS):
            return folder
    return path.parents[min(2, len(path.parents) - 1)]


def module_file(importer: Path, root: Path, name: str, level: int) -> Path | None:
    """The file of `name` as `importer` imports it: relative, or from a folder between it and the project's root."""
    parts = [part for part in name.split(".") if part]
    folder = importer.parent
    if level:
        for _ in range(level - 1):
            folder = folder.parent
        return _python_file(folder.joinpath(*parts)) if folder.is_relative_to(root) else None
    if not parts:
        return None
    for start in [folder, *folder.parents]:
        if not start.is_relative_to(root):
            return None
        for base in (start, start / "src"):
            found = _python_file(base.joinpath(*parts))
            if found is not None:
                return found
    return None


@cache
def read_module(path: Path) -> Module | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        return Module(path, path.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None


def _python_file(stem: Path) -> Path | None:
    for path in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def bindings(body: Iterable[ast.stmt], before: int | None = None) -> dict[str, list[ast.stmt]]:
    """The statements of one scope that bind each name, in order; `before` leaves out those from that row on."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in statements(body):
        if before is None or statement.lineno < before:
            for name in bound_names(statement):
                found.setdefault(name, []).append(statement)
    return found


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of one scope in source order, through if, try, match and loops, not into definitions."""
    for statement in body:
        yield statement
        if not isinstance(statement, Function | ast.ClassDef):
            for field in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, field, None) or [])
            for field in ("handlers", "cases"):
                for part in getattr(statement, field, None) or []:
                    yield from statements(part.body)


def bound_names(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement binds in its own scope."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield (alias.asname or alias.name).split(".")[0]
        case ast.Assign():
            for target in statement.targets:
                yield from _stored(target)
        case ast.AnnAssign() if statement.value is not None:
            yield from _stored(statement.target)
        case ast.AugAssign():
            yield from _stored(statement.target)
        case ast.With() | ast.AsyncWith():
            for item in statement.items:
                if item.optional_vars is not None:
                    yield from _stored(item.optional_vars)


def _stored(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def dotted(node: ast.AST | None) -> str | None:
    """`a.b.c` for names, attributes and items with a literal name (`cfg["b"]`), else None."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            base, part = dotted(node.value), node.attr
        case ast.Subscript(slice=ast.Constant(value=str(key))) if key.isidentifier():
            base, part = dotted(node.value), key
        case _:
            return None
    return None if base is None else f"{base}.{part}"


def last(name: str | None) -> str:
    """The last part of a dotted name."""
    return (name or "").rsplit(".", 1)[-1]


def method_of(call: ast.Call) -> str:
    """The name of the method that is called, if it is one."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def loaded_names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def labelled(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names that expressions are given: dictionary keys, keywords, assignments."""
    match node:
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, value
        case ast.Call():
            yield from ((k.arg, k.value) for k in node.keywords if k.arg)
        case ast.Assign(targets=[ast.Name(id=name)]) if not isinstance(node.value, ast.Dict):  # its keys name the items
            yield name, node.value


def _definitions(node: ast.AST, outer: str) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            name = f"{outer}.{child.name}" if outer else child.name
            yield name, child
            yield from _definitions(child, name)
        elif not isinstance(child, ast.expr):
            yield from _definitions(child, outer)
