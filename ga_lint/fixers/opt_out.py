"""Who divides: the Trainer, by the steps, as it does for a mean (`opt-out`: GA201, GA202, GA210), or the override
itself, by the count, whatever model it trains (`accept-count`: GA221 and in one edit with others).

Places: `method`, the definition of the override; of `accept-count` also `flag`, a statement of the class that says the
opposite and whose place the line takes. Options: none.

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

_FLAG = "model_accepts_loss_kwargs"
_OUT = f"{_FLAG} = False"
_IN = f"{_FLAG} = True  # compute_loss divides by the count itself"
_INIT = """def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.{line}
"""


@fixer("opt-out")
def opt_out(target: Target, edits: Edits) -> None:
    method = target.tree.find(target.span("method"), cst.FunctionDef)
    if kwargs_name(method) is None and COUNT not in {param.name.value for param in parameters(method)}:
        receive_count(edits, method)
    _set_behind_init(edits, target.tree.class_of(method), _OUT)


@fixer("accept-count")
def accept_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    owner = tree.class_of(tree.find(target.span("method"), cst.FunctionDef))
    for span in target.spans("flag"):
        flag = tree.find(span, cst.Assign)
        target_of = flag.targets[0].target
        if isinstance(target_of, cst.Attribute) and target_of.attr.value == _FLAG:  # on the instance, where it must be
            edits.replace(flag.value, "True")
            return
        edits.remove(flag)
    _set_behind_init(edits, owner, _IN)


def _set_behind_init(edits: Edits, owner: cst.ClassDef, line: str) -> None:
    """Behind the call of `super().__init__`, or in an `__init__` that only calls it, above the first method."""
    init = _method(owner, "__init__")
    if init is not None:
        edits.insert_after(_super_init(edits.tree, init), f"{parameter_name(init, 0)}.{line}\n")
        return
    first = _method(owner, None)
    assert first is not None  # the override itself
    edits.insert_before(first, _INIT.format(line=line), gap=1)


def _method(owner: cst.ClassDef, name: str | None) -> cst.FunctionDef | None:
    """The method of this name, or the first one."""
    methods = (each for each in owner.body.body if isinstance(each, cst.FunctionDef))
    return next((each for each in methods if name is None or each.name.value == name), None)


def _super_init(tree: Tree, init: cst.FunctionDef) -> cst.SimpleStatementLine:
    for line in init.body.body:
        if isinstance(line, cst.SimpleStatementLine) and "super(" in tree.code(line) and "__init__" in tree.code(line):
            return line
    raise FixNotApplicable("__init__ does not call super().__init__ on a line of its own")
