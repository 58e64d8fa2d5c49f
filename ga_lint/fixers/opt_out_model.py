"""A model's loss does not use the count: the class says so, and the Trainer divides by the steps (GA207).

Places: `method`, its forward. Options: none. What the class says of it already, in its body or on the instance, is
changed: a line above would be overwritten.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Statement

_NAME = "accepts_loss_kwargs"
_FLAG = f"{_NAME} = False  # its losses are means over the micro-batch\n"


@fixer("opt-out-model")
def opt_out_model(target: Target, edits: Edits) -> None:
    owner = target.tree.class_of(target.tree.find(target.span("method"), cst.FunctionDef))
    said = [each.value for each in target.tree.inside(owner, cst.Assign) if _is_flag(each.targets[0].target)]
    said += [each.value for each in target.tree.inside(owner, cst.AnnAssign) if each.value and _is_flag(each.target)]
    for value in said:
        edits.replace(value, "False")
    if said:
        return
    body = [statement for statement in owner.body.body if isinstance(statement, Statement)]
    is_documented = owner.get_docstring() is not None  # the method stands below
    edits.insert_before(body[1 if is_documented else 0], _FLAG, gap=1)


def _is_flag(target: cst.BaseExpression) -> bool:
    match target:
        case cst.Name(value=name) | cst.Attribute(value=cst.Name(value="self"), attr=cst.Name(value=name)):
            return name == _NAME
        case _:
            return False
