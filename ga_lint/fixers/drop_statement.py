"""A statement says the opposite of what the code does: take it away (GA211, GA218).

Places: `statement`, an assignment on a line of its own. Options: none.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("drop-statement")
def drop_statement(target: Target, edits: Edits) -> None:
    edits.remove(target.tree.find(target.span("statement"), cst.Assign))
