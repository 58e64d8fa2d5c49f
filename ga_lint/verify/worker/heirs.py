"""Which class is meant where the loop stands in an abstract one? One of the project that writes out the method.

The nearest is taken, and before it one whose name says that it trains a language model.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ga_lint.verify.worker.reading.sources import Function, dotted, last, read_module

if TYPE_CHECKING:
    from ga_lint.verify.worker.namespace import Namespace

_MOST_FILES = 400
_OF_TOKENS = re.compile(r"SFT|Supervised|Pretrain|Language|Causal|(^|[a-z])LM([A-Z]|$)|Finetun", re.IGNORECASE)


def is_abstract(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """`@abstractmethod`, or nothing but `raise NotImplementedError`."""
    if any(last(dotted(decorator)) == "abstractmethod" for decorator in method.decorator_list):
        return True
    body = [s for s in method.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    match body:
        case [ast.Raise(exc=ast.expr() as error)]:
            return last(dotted(error.func if isinstance(error, ast.Call) else error)) == "NotImplementedError"
    return False


def heir(space: Namespace, owner: ast.ClassDef, method: str) -> tuple[Namespace, ast.ClassDef] | None:
    """The class with this method that names `owner` as its base, and the namespace of its file."""
    found = list(_heirs(space, owner, method))
    found.sort(key=lambda each: _OF_TOKENS.search(each[1].name) is None)
    return found[0] if found else None


def _heirs(space: Namespace, owner: ast.ClassDef, method: str) -> Iterator[tuple[Namespace, ast.ClassDef]]:
    pattern = re.compile(rf"^\s*class\s+\w+\([^)]*\b{owner.name}\b", re.MULTILINE)
    for path in _nearby(space.module.path, space.files.root):
        is_own = path == space.module.path
        module = space.module if is_own else read_module(path) if _mentions(path, pattern) else None
        for node in module.tree.body if module is not None else ():
            if isinstance(node, ast.ClassDef) and _writes_out(node, owner.name, method):
                place = space if is_own else space.files.file(path)
                if place is not None:
                    yield place, node


def _writes_out(node: ast.ClassDef, base: str, method: str) -> bool:
    methods = [each for each in node.body if isinstance(each, Function) and each.name == method]
    return any(last(dotted(each)) == base for each in node.bases) and any(not is_abstract(each) for each in methods)


def _nearby(path: Path, root: Path) -> Iterator[Path]:
    """The files of the project, those nearest to this one first."""
    seen: set[Path] = set()
    for folder in path.parents:
        for each in sorted(folder.rglob("*.py")):
            if each not in seen:
                seen.add(each)
                yield each
            if len(seen) == _MOST_FILES:
                return
        if folder == root:
            return


def _mentions(path: Path, pattern: re.Pattern[str]) -> bool:
    try:
        return pattern.search(path.read_text("utf-8")) is not None
    except (OSError, ValueError):
        return False
