"""An own training_step is called with a third argument: take it (GA201).

Places: `method`, the definition. Options: none.

Only where it runs backward itself and calls no super(): it divides by what it likes, so the count changes nothing.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import receive_count


@fixer("take-count")
def take_count(target: Target, edits: Edits) -> None:
    method = target.tree.find(target.span("method"), cst.FunctionDef)
    body = target.tree.code(method.body)
    if "super()" in body or ".backward(" not in body:
        raise FixNotApplicable(f"{method.name.value} does not run backward itself")
    receive_count(edits, method)
