"""The loss is per sample: the Trainer is to divide by the steps, as it does for a mean (GA201, GA202).

Places: `method`, the definition of the override. Options: none.

`model_accepts_loss_kwargs` is set on the instance by `Trainer.__init__`, so a class attribute would be overwritten: the
line goes behind `super().__init__(...)`.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, kwargs_name, parameter_name, parameters, receive_count
from ga_lint.fixers.tree import Tree

_FLAG = "model_accepts_loss_kwargs = False"
_INIT = f"""def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.{_FLAG}
"""


@fixer("opt-out")
def opt_out(target: Target, edits: Edits) -> None:
    tree = target.tree
    method = tree.find(target.span("method"), cst.FunctionDef)
    owner = tree.class_of(method)
    if kwargs_name(method) is None and COUNT not in {param.name.value for param in parameters(method)}:
        receive_count(edits, method)
    init = _method(owner, "__init__")
    if init is not None:
        edits.insert_after(_super_init(tree, init), f"{parameter_name(init, 0)}.{_FLAG}\n")
        return
    first = _method(owner, None)
    assert first is not None  # the override itself
    edits.insert_before(first, _INIT, gap=1)


def _method(owner: cst.ClassDef, name: str | None) -> cst.FunctionDef | None:
    """The method of this name, or the first one."""
    methods = (each for each in owner.body.body if isinstance(each, cst.FunctionDef))
    return next((each for each in methods if name is None or each.name.value == name), None)


def _super_init(tree: Tree, init: cst.FunctionDef) -> cst.SimpleStatementLine:
    for line in init.body.body:
        if isinstance(line, cst.SimpleStatementLine) and "super(" in tree.code(line) and "__init__" in tree.code(line):
            return line
    raise FixNotApplicable("__init__ does not call super().__init__ on a line of its own")
