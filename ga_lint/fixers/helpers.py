"""Where does a new top-level definition go, and what is it called?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import below_imports
from ga_lint.fixers.names import fresh_name
from ga_lint.fixers.tree import Statement, Tree, reindented


def insert_helper(edits: Edits, user: cst.CSTNode, name: str, text: str) -> str:
    """Insert a definition where `user` can see it, once: an equal one that is already there is used again."""
    tree = edits.tree
    there = reindented(text, tree.module.default_indent).replace("\n", tree.module.default_newline)
    for candidate in (name, *(f"{name}_{number}" for number in range(2, 10))):
        if there.replace("{name}", candidate) in tree.source.text:
            return candidate
    name = fresh_name(tree, None, name)
    text = text.replace("{name}", name)
    above = tree.top_level(user)
    if not tree.part_of(above).is_open:
        edits.insert_after(_last_statement_above(tree, above), f"\n\n{text}")
        return name
    if not isinstance(above, cst.FunctionDef | cst.ClassDef):  # code that runs at once: next to the imports
        above = below_imports(tree, above) or above
    edits.insert_before(above, text, gap=2, above=2)
    return name


def _last_statement_above(tree: Tree, user: Statement) -> Statement:
    """The end of the nearest cell above that takes new statements: nothing is put under a cell magic."""
    row = tree.span_of(user).start.row
    for line in reversed(tree.module.body):
        if isinstance(line, Statement) and tree.span_of(line).start.row < row and tree.part_of(line).is_open:
            return line
    raise FixNotApplicable("its cell starts with a cell magic, and no cell above it takes a new definition")
