"""A model's loss does not use the count: the class says so, and the Trainer divides by the steps (GA207).

Places: `method`, its forward. Options: none.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Statement

_FLAG = "accepts_loss_kwargs = False  # its losses are means over the micro-batch\n"


@fixer("opt-out-model")
def opt_out_model(target: Target, edits: Edits) -> None:
    owner = target.tree.class_of(target.tree.find(target.span("method"), cst.FunctionDef))
    body = [statement for statement in owner.body.body if isinstance(statement, Statement)]
    is_documented = owner.get_docstring() is not None  # the method stands below
    edits.insert_before(body[1 if is_documented else 0], _FLAG, gap=1)
