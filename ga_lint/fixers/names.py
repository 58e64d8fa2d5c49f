"""Which names are taken at a place, and which is free?"""

from __future__ import annotations

import builtins
import re

import libcst as cst

from ga_lint.fixers.nodes import children_of
from ga_lint.fixers.tree import Tree


def names_in(node: cst.CSTNode) -> set[str]:
    """Every name that is read or bound in there."""
    return set(_names(node))


def occurrences(node: cst.CSTNode, name: str) -> int:
    """How often this name is read or bound in there."""
    return _names(node).count(name)


def _names(node: cst.CSTNode) -> list[str]:
    """The names, as often as they stand there; the `b` of `a.b` and of `f(b=1)` is none."""
    found: list[str] = []
    todo = [node]
    while todo:
        one = todo.pop()
        if isinstance(one, cst.Name):
            found.append(one.value)
        else:
            todo += [one.value] if isinstance(one, cst.Attribute | cst.Arg) else children_of(one)
    return found


def fresh_name(tree: Tree, user: cst.CSTNode | None, *candidates: str) -> str:
    """The first candidate that means nothing yet: in the function around `user` and at the module's level.

    Without a user the name is for the whole module, and may occur nowhere in it.
    """
    if user is None and not re.search(rf"\b{candidates[0]}\b", tree.source.text):
        return candidates[0]  # and no tree need be walked
    function = None if user is None else tree.enclosing(user, cst.FunctionDef)
    taken = names_in(tree.module) if function is None else names_in(function) | _bound_at_top(tree)
    numbered = (f"{candidates[0]}_{number}" for number in range(2, 100))
    return next(name for name in (*candidates, *numbered) if name not in taken)


def names_known_at(tree: Tree, node: cst.CSTNode) -> set[str]:
    """The names that mean something there: of the functions around it, of the module, and Python's own."""
    functions = [outer for outer in tree.around(node) if isinstance(outer, cst.FunctionDef)]
    return {name for each in functions for name in names_in(each)} | _bound_at_top(tree) | set(dir(builtins))


def _bound_at_top(tree: Tree) -> set[str]:
    """The names that the module itself binds; those inside its functions and classes are their own."""
    found: set[str] = set()
    for statement in tree.module.body:
        if isinstance(statement, cst.FunctionDef | cst.ClassDef):
            found.add(statement.name.value)
        else:
            found |= names_in(statement)
    return found
