"""What is left of a definition before it is executed? Known decorators, and bases that exist."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ga_lint.verify.worker.reading.sources import Function, dotted, last, loaded_names

if TYPE_CHECKING:
    from ga_lint.verify.worker.namespace import Namespace

_KEPT_DECORATORS = frozenset(
    "staticmethod classmethod property cached_property contextmanager dataclass lru_cache cache wraps no_grad "
    "inference_mode enable_grad setter".split()
)


class ModuleView:
    """A file of the repository as a module: attributes are the names of that file, or the files beside it."""

    def __init__(self, space: Namespace) -> None:
        self._space = space

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        space = self._space
        if name in space or name in space.module.top:
            return space[name]
        return space.imported_module(name, 1)


def prepared(space: Namespace, node: ast.stmt) -> ast.stmt:
    """The definition as it can be executed in this namespace."""
    for each in ast.walk(node):
        if isinstance(each, Function | ast.ClassDef):
            each.decorator_list = [d for d in each.decorator_list if _keeps(space, d, each.name)]
    if isinstance(node, ast.ClassDef):
        node.keywords = []
        node.bases = list(_bases(space, node))
        for name in sorted(_class_names(node) & space.known):
            if name != node.name:
                space[name]  # a class body does not ask __missing__: resolve what it reads now
    return node


def _keeps(space: Namespace, decorator: ast.expr, owner: str) -> bool:
    name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    if last(name) in _KEPT_DECORATORS:
        return True
    space.files.recorder.assume(f"decorator `{ast.unparse(decorator)}` of {owner} dropped")
    return False


def _bases(space: Namespace, node: ast.ClassDef) -> Iterator[ast.expr]:
    seen: set[type] = set()
    for number, expression in enumerate(node.bases):
        value = space.evaluate(expression)
        if not isinstance(value, type):
            replaced = space.files.base_for(ast.unparse(expression))
            what = f"replaced by {replaced.__module__.split('.')[0]}.{replaced.__name__}" if replaced else "left out"
            space.files.recorder.assume(f"base class {ast.unparse(expression)} {what}")
            value = replaced
        if isinstance(value, type) and value is not object and value not in seen:
            seen.add(value)
            name = f"__base_{node.name}_{number}"
            space[name] = value
            yield ast.Name(name, ast.Load())


def _class_names(node: ast.ClassDef) -> set[str]:
    """The names that a class body reads while it is executed: its statements, and its methods' heads."""
    read: list[ast.AST] = []
    for statement in node.body:
        if isinstance(statement, Function):
            read += [*statement.args.defaults, *filter(None, statement.args.kw_defaults), *statement.decorator_list]
        else:
            read.append(statement)
    return {name for part in read for name in loaded_names(part)}
