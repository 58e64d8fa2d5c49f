"""How does a LightningModule keep a count until the optimizer steps, and who else would see what changes?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import imported_as
from ga_lint.fixers.names import names_in
from ga_lint.fixers.signature import parameter_name, parameters
from ga_lint.fixers.tree import Statement, Tree, dotted

ATTRIBUTE = "window_targets"
HOOK = "on_before_optimizer_step"
_ENDS = ("training_step_end", "training_epoch_end")  # of Lightning before 2.0: they get what training_step returns


def initialise(edits: Edits, owner: cst.ClassDef, attribute: str) -> None:
    """Before the first batch nothing is counted."""
    note = "# since the last optimizer step"
    init = _method(owner, "__init__")
    if init is None:
        first = next(each for each in owner.body.body if isinstance(each, cst.FunctionDef))
        edits.insert_before(first, f"{attribute} = 0  {note}\n", gap=1)
        return
    last = init.body.body[-1]
    if not isinstance(last, Statement):
        raise FixNotApplicable("__init__ has its body on the line of its head")
    if edits.tree.inside(init.body, cst.Return):
        raise FixNotApplicable("__init__ returns before its end")
    edits.insert_after(last, f"{parameter_name(init, 0)}.{attribute} = 0  {note}\n")


def add_hook(edits: Edits, owner: cst.ClassDef, method: cst.FunctionDef, attribute: str, index: bool) -> None:
    """Make the window's sum its mean, in the hook of this class or in a new one."""
    hook = _method(owner, HOOK)
    if hook is None:
        head = f"{HOOK}({_annotated(edits.tree, method, index)}"
        edits.insert_after(method, f"\ndef {head}:\n" + _body(parameter_name(method, 0), attribute, "    "))
        return
    first = next((line for line in hook.body.body if not _is_docstring(line)), None)
    code = edits.tree.code(hook.body)
    if not isinstance(first, Statement) or any(word in code for word in (".mul_(", ".div_(", ".grad *", ".grad /")):
        raise FixNotApplicable(f"{HOOK} scales the gradients already")
    edits.insert_before(first, _body(parameter_name(hook, 0), attribute, ""))


def _body(self: str, attribute: str, indent: str) -> str:
    lines = (
        "# Lightning averages over batches and ranks; the loss is the mean over all their targets",
        f"targets = {self}.all_gather({self}.{attribute}).sum().clamp(min=1).item()",
        f"scale = {self}.trainer.accumulate_grad_batches * {self}.trainer.world_size / targets",
        f"for parameter in {self}.parameters():",
        "    if parameter.grad is not None:",
        "        parameter.grad *= scale",
        f"{self}.{attribute} = 0",
    )
    return "".join(f"{indent}{line}\n" for line in lines)


def _annotated(tree: Tree, method: cst.FunctionDef, index: bool) -> str:
    """The parameters and what follows them, annotated as training_step is."""
    torch = imported_as(tree, "torch") if method.returns is not None else None
    optimizer = f"optimizer: {torch}.optim.Optimizer" if torch else "optimizer"
    number = (", optimizer_idx: int = 0" if torch else ", optimizer_idx=0") if index else ""
    return f"{parameter_name(method, 0)}, {optimizer}{number})" + (" -> None" if method.returns is not None else "")


def refuse_other_readers(tree: Tree, owner: cst.ClassDef, method: cst.FunctionDef) -> None:
    """Does anything else rely on what training_step returns, or on the gradients before they are divided?"""
    if any(param.name.value == "optimizer_idx" for param in parameters(method)) or _several_optimizers(tree, owner):
        raise FixNotApplicable("several optimizers step on the same losses")
    heirs = [each for each in tree.inside(tree.module, cst.ClassDef) if _descends(each, owner)]
    if any(_method(heir, name) for heir in heirs for name in ("training_step", HOOK)):
        raise FixNotApplicable(f"a class that extends {owner.name.value} has a training_step or a hook of its own")
    for each in owner.body.body:
        if not isinstance(each, cst.FunctionDef) or each is method:
            continue
        name, body = each.name.value, tree.code(each.body)
        if name in _ENDS or (name == "on_train_batch_end" and "outputs" in names_in(each.body)):
            raise FixNotApplicable(f"{name} reads the loss that training_step returns")
        if "training_step(" in body:
            raise FixNotApplicable(f"{name} calls training_step, and what it sees would be counted too")
        if name == "on_after_backward" and "grad" in body:
            raise FixNotApplicable(f"{name} reads the gradients before they are divided")


def _several_optimizers(tree: Tree, owner: cst.ClassDef) -> bool:
    """`return [first, second]`, `return first, second` or `return [first, second], schedulers`."""
    method = _method(owner, "configure_optimizers")
    for line in tree.inside(method.body, cst.Return) if method is not None else ():
        value = line.value
        if isinstance(value, cst.Tuple) and value.elements:
            first = value.elements[0].value
            value = first if isinstance(first, cst.List | cst.Tuple) else value
        if isinstance(value, cst.List | cst.Tuple) and len(value.elements) > 1:
            return True
    return False


def _descends(heir: cst.ClassDef, owner: cst.ClassDef) -> bool:
    return any((dotted(base.value) or "").rpartition(".")[2] == owner.name.value for base in heir.bases)


def _method(owner: cst.ClassDef, name: str) -> cst.FunctionDef | None:
    methods = (each for each in owner.body.body if isinstance(each, cst.FunctionDef))
    return next((each for each in methods if each.name.value == name), None)


def _is_docstring(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Expr)
