"""Which texts would take LibCST minutes, or the stack? Asked before it parses them."""

from __future__ import annotations

import ast

from ga_lint.errors import FixNotApplicable
from ga_lint.grammar import tree_of

_LONGEST_CHAIN = 1_000
# LibCST takes 30 to 60 us for each row, and twice that for each node of `ast`: some 10 s at most. The longest of 40
# packages' 60,000 files that trains anything weighs 230,000; transformers' trainer.py 53,000.
_HEAVIEST = 250_000
_LIGHT = 60_000  # characters, of which none weighs more than four


def refuse_beyond(text: str) -> None:
    """FixNotApplicable where LibCST cannot be asked."""
    chained = text.count("and") + text.count("or") > _LONGEST_CHAIN
    if not chained and len(text) < _LIGHT:
        return
    rows, nodes = text.count("\n") + text.count("\r") + 1, 0
    for node in ast.walk(tree_of(text)):
        nodes += 1
        if isinstance(node, ast.BoolOp) and len(node.values) > _LONGEST_CHAIN:
            # Of all shapes that `ast.parse` lets through this is the only one that is flat for Python's parser and
            # nested for LibCST's: it kills the process at some 10,000 operands.
            raise FixNotApplicable(f"it holds a chain of more than {_LONGEST_CHAIN} `and`s or `or`s")
    if rows + 2 * nodes > _HEAVIEST:
        raise FixNotApplicable(f"the file is too long to be rewritten: {rows:,} lines, {nodes:,} pieces of syntax")
