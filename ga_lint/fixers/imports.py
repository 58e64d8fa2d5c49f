"""Under which name is a module imported, and where does a new import go?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.tree import Statement, Tree, dotted


def import_module(edits: Edits, name: str, user: cst.CSTNode | None = None) -> str:
    """The name that stands for this module where `user` stands; `import name` is added where none does."""
    known = imported_as(edits.tree, name) or (_imported_around(edits.tree, name, user) if user is not None else None)
    if known is None:
        _insert(edits, name)
    return known or name


def imported_as(tree: Tree, name: str) -> str | None:
    """The local name of a module: `dist` after `import torch.distributed as dist`, or `from torch import` the same."""
    package, _, last = name.rpartition(".")
    for line, _ in _imports(tree.module):
        for small in line.body:
            match small:
                case cst.Import(names=names):
                    found = [(alias, name) for alias in names if dotted(alias.name) == name]
                case cst.ImportFrom(module=module, names=[*names], relative=()) if module is not None:
                    same = dotted(module) == package
                    found = [(alias, last) for alias in names if same and dotted(alias.name) == last]
                case _:
                    found = []
            for alias, plain in found:
                if alias.asname is None:
                    return plain
                assert isinstance(alias.asname.name, cst.Name)
                return alias.asname.name.value
    return None


def _imported_around(tree: Tree, name: str, user: cst.CSTNode) -> str | None:
    """`name` where a function around the user begins with `import name`, as files do that load it late."""
    for outer in (user, *tree.around(user)):
        body = outer.body.body if isinstance(outer, cst.FunctionDef) else ()
        for line in body:
            match line:
                case cst.SimpleStatementLine(body=[cst.Import(names=[*names])]):
                    if any(dotted(alias.name) == name and alias.asname is None for alias in names):
                        return name
                case _:
                    pass
    return None


def distributed_module(edits: Edits) -> str:
    """torch.distributed under the shortest name that the file has for it; torch itself always brings it along."""
    return imported_as(edits.tree, "torch.distributed") or f"{import_module(edits, 'torch')}.distributed"


def _insert(edits: Edits, name: str) -> None:
    """Into the block of its kind (standard library or not), in the order of the alphabet."""
    kind = _is_standard(name)
    block = [(line, module) for line, module in _usable(edits) if _is_standard(module) == kind]
    plain = [(line, module) for line, module in block if isinstance(line.body[0], cst.Import)]
    statement = f"import {name}\n"
    later = next((line for line, module in plain if module > name), None)
    if later is not None:
        edits.insert_before(later, statement)
    elif plain:
        edits.insert_after(plain[-1][0], statement)
    elif block:
        edits.insert_before(block[0][0], statement)
    else:
        _insert_alone(edits, statement)


def _insert_alone(edits: Edits, statement: str) -> None:
    others = [line for line, _ in _usable(edits)]
    first = others[0] if others else next((line for line in _home(edits) if not _is_preamble(line)), None)
    if isinstance(first, Statement):
        edits.insert_before(first, statement, gap=1)


def _usable(edits: Edits) -> list[tuple[cst.SimpleStatementLine, str]]:
    """The import lines that may get another beside them; in a notebook they stand above its use, under no magic."""
    tree = edits.tree
    lines = list(_imports(tree.module))
    if tree.source.parts[0].cell is None:
        return lines
    return [
        (line, module)
        for line, module in lines
        if tree.span_of(line).start.row <= edits.first_row and tree.part_of(line).is_open
    ]


def _home(edits: Edits) -> Sequence[cst.CSTNode]:
    """The module's statements among which a first import may stand: in a notebook, of the cell that needs it."""
    tree = edits.tree
    for part in reversed(tree.source.parts):
        lines = [line for line in tree.module.body if tree.span_of(line).start.row in part.rows]
        if part.rows.start <= edits.first_row and part.is_open and not all(map(_is_preamble, lines)):
            return lines
    raise FixNotApplicable("its cell starts with a cell magic, and no cell above it takes an import")


def _imports(module: cst.Module) -> Iterator[tuple[cst.SimpleStatementLine, str]]:
    """The import lines at the top level, each with the first module it names; `__future__` is none of them."""
    for line in module.body:
        if not isinstance(line, cst.SimpleStatementLine):
            continue
        match line.body[0]:
            case cst.Import(names=names):
                yield line, dotted(names[0].name) or ""
            case cst.ImportFrom(module=module_name, relative=relative):
                name = "." if relative else (dotted(module_name) or "") if module_name is not None else ""
                if name != "__future__":
                    yield line, name
            case _:
                pass


def _is_preamble(statement: cst.CSTNode) -> bool:
    """The docstring, `from __future__ import ...`, and the `pass` that stands for a magic."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    match statement.body[0]:
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True
        case cst.ImportFrom(module=cst.Name(value="__future__")) | cst.Pass():
            return True
        case _:
            return False


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def below_imports(tree: Tree, user: Statement) -> Statement | None:
    """The statement that follows the last import above `user`, in a notebook of its cell."""
    row, part = tree.span_of(user).start.row, tree.part_of(user)
    above = (line for line, _ in _imports(tree.module) if tree.span_of(line).start.row < row)
    lines = [line for line in above if tree.part_of(line) == part]
    following = tree.module.body[list(tree.module.body).index(lines[-1]) + 1 :] if lines else ()
    return next((statement for statement in following if isinstance(statement, Statement)), None)
