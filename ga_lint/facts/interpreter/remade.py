"""Are a tensor's elements still those that the batch came with? Who counts them in the batch has to know."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter.elements import is_ignore_index
from ga_lint.facts.interpreter.paths import State
from ga_lint.facts.model import Counted, Place
from ga_lint.facts.values import Choice, Const, Symbol, Tensor, TensorKind, Value, choice
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

_KEEPING_METHODS = frozenset(
    "to cuda cpu contiguous float double half bfloat16 long int bool type type_as clone detach detach_ requires_grad_ "
    "pin_memory view reshape flatten squeeze unsqueeze transpose permute get pop ne not_equal".split()
)
_KEEPING_FUNCTIONS = frozenset("from_numpy as_tensor tensor LongTensor flatten reshape squeeze unsqueeze ne".split())


def remade(value: Value) -> Value:
    """The same value, of other elements than the batch's."""
    match value:
        case Tensor():
            return replace(value, remade=True, leaves_out="")
        case Choice(values=values):
            return choice([remade(one) for one in values])
    return value


def mask_of(tensor: Tensor, text: str, left_out: str) -> Tensor:
    """A mask that a comparison makes: `labels != -100`, which leaves out what equals -100."""
    own = "" if tensor.remade else left_out
    return replace(tensor, kind=TensorKind.MASK, text=text, remade=True, leaves_out=own)


def as_written(value: Value, node: ast.expr, depth: int) -> str:
    """A number or a name for it, as the function writes it that holds the loop; "" where that cannot be had."""
    match value:
        case Const(value=inner, text=text):
            return text if text and not depth else str(inner)
        case Symbol(text=text):
            return text
    return "" if depth else text_of(node)


def targets_of(value: Value) -> Counted | None:
    """What a sum over this mask counts, where that can be had from the batch."""
    if not isinstance(value, Tensor) or value.kind is not TensorKind.MASK or not value.origin:
        return None
    if value.leaves_out:
        return Counted(value.origin, value.leaves_out, value.shifted)
    return None if value.remade else Counted(value.origin, None, value.shifted)


def after_method(name: str, value: Value | None) -> Value | None:
    """What a method of a tensor gives."""
    return value if value is None or name in _KEEPING_METHODS else remade(value)


def after_function(name: str, value: Value) -> Value:
    """What a function of torch's gives."""
    return value if name in _KEEPING_FUNCTIONS else remade(value)


def change_in_place(state: State, text: str, tensor: Tensor) -> None:
    """`labels[mask] = -100`: the batch that it may be a part of, and its other names, hold the change too."""
    state.env[text] = remade(tensor)
    for name, value in list(state.env.items()):
        if isinstance(value, Tensor) and value.origin and f"{tensor.origin}[".startswith(f"{value.origin}["):
            state.env[name] = remade(value)


def filled(call: Call, tensor: Tensor, place: Place) -> Tensor:
    """`labels.masked_fill(mask, -100)`, in place or not."""
    value = call.argument(1, "value")
    result = tensor
    if value is not None and is_ignore_index(value):
        step = place.as_step(f"positions of `{call.receiver_text}` set to the ignore index")
        result = replace(tensor, kind=TensorKind.LABELS, ragged=(*tensor.ragged, step))
    if call.method.endswith("_"):
        change_in_place(call.state, call.receiver_text, result)
    return result
