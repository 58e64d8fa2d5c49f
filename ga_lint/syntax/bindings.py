"""Which statements give a module-level name its value?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from msgspec import Struct

from ga_lint.syntax.walk import statements

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class ImportedName(Struct, frozen=True):
    """`from module import name as alias` or `import module as alias` (`name` is None)."""

    module: str
    level: int  # leading dots
    name: str | None


Binding = Definition | ImportedName | ast.expr


class ModuleBindings(Struct, frozen=True):
    """All bindings of each name in the order of the text, and the modules that are star-imported."""

    by_name: dict[str, list[Binding]]
    stars: tuple[ImportedName, ...]
    dotted: frozenset[str] = frozenset()  # `a.b` of `import a.b`, which binds `a`


def bindings_of(tree: ast.Module) -> ModuleBindings:
    """Module-level definitions, imports and assignments, also those under `if`, `try`, `match` and loops."""
    by_name: dict[str, list[Binding]] = {}
    stars: list[ImportedName] = []
    dotted: set[str] = set()
    for statement in statements(tree.body):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                by_name.setdefault(statement.name, []).append(statement)
            case ast.Import() | ast.ImportFrom():
                if isinstance(statement, ast.Import):
                    dotted.update(one.name for one in statement.names if "." in one.name and not one.asname)
                for name, imported in imported_names(statement):
                    if name == "*":
                        stars.append(imported)
                    else:
                        by_name.setdefault(name, []).append(imported)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name, bound in _assigned(target, value):
                        by_name.setdefault(name, []).append(bound)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                by_name.setdefault(name, []).append(value)
    return ModuleBindings(by_name, tuple(stars), frozenset(dotted))


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Each name of a target; a part of an unpacked value is written as an index into it."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        for index, part in enumerate(target.elts):
            if isinstance(part, ast.Name):
                place = ast.copy_location(ast.Constant(index), value)
                yield part.id, ast.copy_location(ast.Subscript(value, place, ast.Load()), value)


def imported_names(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, ImportedName]]:
    """Each local name that an import binds, with what it stands for."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            imported = ImportedName(statement.module or "", statement.level, alias.name)
            yield alias.asname or alias.name, imported
        elif alias.asname:
            yield alias.asname, ImportedName(alias.name, 0, None)
        else:
            root = alias.name.partition(".")[0]
            yield root, ImportedName(root, 0, None)
