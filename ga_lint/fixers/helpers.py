"""Where does a new top-level definition go, and what is it called?"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import below_imports
from ga_lint.fixers.tree import fresh_name


def insert_helper(edits: Edits, user: cst.CSTNode, name: str, text: str) -> str:
    """Insert a definition where `user` can see it, once: an equal one that is already there is used again."""
    tree = edits.tree
    newline = tree.module.default_newline
    for candidate in (name, *(f"{name}_{number}" for number in range(2, 10))):
        if text.replace("{name}", candidate).replace("\n", newline) in tree.source.text:
            return candidate
    name = fresh_name(tree, None, name)
    text = text.replace("{name}", name)
    above = tree.top_level(user)
    if not isinstance(above, cst.FunctionDef | cst.ClassDef):  # code that runs at once: next to the imports
        above = below_imports(tree) or above
    edits.insert_before(above, text, gap=2, above=2)
    return name
