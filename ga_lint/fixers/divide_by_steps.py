"""Means are summed over the window and nobody divides: divide where backward begins (GA102).

Places: `backward`, each call in a window: `loss.backward()`, `scaler.scale(loss).backward()`, `fabric.backward(x)`.
Options: `steps`, the text of the accumulation steps.

The name that is logged afterwards keeps its value: only what backward receives is divided.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Tree, dotted

_TENSORS_OWN = {"gradient", "retain_graph", "create_graph", "inputs"}  # what torch.Tensor.backward takes
_LOSS = ("loss", "tensor")  # as accelerate, DeepSpeed and ColossalAI call it, and as Fabric does


@fixer("divide-by-steps")
def divide_by_steps(target: Target, edits: Edits) -> None:
    for call in target.backwards(needed=True):
        scale_backward(edits, call, "/", target.option("steps"))


def scale_backward(edits: Edits, call: cst.Call, operator: str, factor: str) -> None:
    """Multiply or divide what backward receives, in front of a gradient scaler where there is one."""
    loss = loss_of(call)
    text = edits.tree.code(loss)
    atom = bool(loss.lpar) or isinstance(loss, cst.Name | cst.Attribute | cst.Call | cst.Subscript)
    product = f"{text if atom else f'({text})'} {operator} {_atom(edits.tree, factor, operator)}"
    is_receiver = isinstance(edits.tree.parent(loss), cst.Attribute)
    edits.replace(loss, f"({product})" if is_receiver else product)


def loss_of(call: cst.Call) -> cst.BaseExpression:
    """What a call of backward starts from."""
    if not isinstance(call.func, cst.Attribute) or call.func.attr.value not in ("backward", "manual_backward"):
        raise FixNotApplicable("backward is called in a form that is not known here")
    receiver = call.func.value
    if isinstance(receiver, cst.Call) and (dotted(receiver.func) or "").endswith(".scale") and len(receiver.args) == 1:
        return receiver.args[0].value  # GradScaler
    positional = [arg for arg in call.args if arg.keyword is None and not arg.star]
    if positional:  # the engine's or Fabric's backward(loss); torch's own first argument is a gradient
        if dotted(receiver) == "torch.autograd":
            raise FixNotApplicable("torch.autograd.backward takes a list of losses")
        return positional[0].value
    named = {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
    if not named.keys() <= _TENSORS_OWN:
        given = next((named[name] for name in _LOSS if name in named), None)
        if given is None:
            raise FixNotApplicable("which of its arguments backward starts from is not known")
        return given
    return receiver


def _atom(tree: Tree, text: str, operator: str) -> str:
    node = tree.parse_expression(text)
    if (
        operator == "*"
        and isinstance(node, cst.BinaryOperation)
        and isinstance(node.operator, cst.Multiply | cst.Divide)
    ):
        return text
    compound = isinstance(node, cst.BinaryOperation | cst.IfExp | cst.BooleanOperation | cst.UnaryOperation)
    return f"({text})" if compound and not node.lpar else text
