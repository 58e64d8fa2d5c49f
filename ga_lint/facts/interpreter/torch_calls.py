"""What does a function of torch's give?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import algebra, cross_entropies, losses, masks, raw_losses, tensors
from ga_lint.facts.interpreter.elements import is_ignore_index
from ga_lint.facts.interpreter.remade import as_written, mask_of
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Choice,
    Const,
    Count,
    Elements,
    Items,
    Loss,
    Many,
    Product,
    Symbol,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
    is_missing_count,
)
from ga_lint.syntax.text import last_name, text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

NUMBERS = frozenset("int float max min abs round clamp clamp_min as_tensor tensor ceil maximum".split())
_ELEMENTWISE = frozenset("exp clamp log min max minimum maximum where neg nan_to_num softplus logsigmoid".split())
_COMPUTES = NUMBERS | _ELEMENTWISE


def call(call: Call, last: str) -> Value | None:
    """What the function gives of its first argument, or of each of several that it may be."""
    first = call.positional[0] if call.positional else UNKNOWN
    if not isinstance(first, Choice) or not any(isinstance(one, Loss | Elements) for one in first.values):
        return _of_one(call, last, first)
    found = [_of_one(replace(call, positional=(one, *call.positional[1:])), last, one) for one in first.values]
    return choice([UNKNOWN if one is None else one for one in found])


def _of_one(call: Call, last: str, first: Value) -> Value | None:
    """A loss put together, a tensor made or changed, else the argument that the function only passes on."""
    step = cross_entropies.after_step(call, first, last, given=1)
    return step or _put_together(call, last, first) or _made(call, last, first) or _passed_on(call, last)


def _put_together(call: Call, last: str, first: Value) -> Value | None:
    place = call.run.place(call.frame, call.node)
    match last:
        case "DataLoader":
            return Built("torch.utils.data.DataLoader", call.positional, call.named, place)
        case "sum" | "mean" if isinstance(first, Elements):
            return tensors.reduce(call, first, last, call.argument(1, "dim", "axis"))
        case "masked_select" if isinstance(first, Elements) and len(call.written) > 1:
            return tensors.selected(call, first, call.positional[1], text_of(call.written[1]))
        case "stack" if isinstance(first, Many) and first.loop and isinstance(first.element, Loss):
            return first
        case "sum" | "mean" if isinstance(first, Many) and first.loop and isinstance(first.element, Loss):
            return algebra.averaged(first.element, text_of(call.written[0]), place, last)
        case "mean" | "stack" | "cat" if isinstance(first, Many) and isinstance(first.element, Loss | Elements):
            return first.element
        case "mean" | "stack" | "cat" if isinstance(first, Items) and first.values:
            alone = first.values[0] if len(first.values) == 1 and isinstance(first.values[0], Elements) else None
            return algebra.added_up(first.values, place) or alone
        case "sum" | "count_nonzero" if isinstance(first, Tensor) and first.kind is TensorKind.MASK:
            return tensors.count_of(call, first)
        case "sum" if len(call.written) == 1 and not call.node.keywords and _is_counted(first, call.written[0]):
            return tensors.sum_of_weights(call, text_of(call.written[0]))
        case "sum" | "mean" if isinstance(first, Loss | Count):
            return first
        case "div" | "mul" if isinstance(first, Loss) and (factor := call.argument(1, "other")) is not None:
            by = call.argument_node(1, "other")  # None for one that `*args` holds
            return algebra.scaled(first, factor, -1 if last == "div" else 1, text_of(by or call.node), place)
    return None


def _is_counted(value: Value, node: ast.expr) -> bool:
    """Weights, or a mask that is only known by its name: their sum stands for the count of this micro-batch."""
    text = text_of(node)
    return masks.are_weights(value, text) or (isinstance(value, Unknown | Symbol) and masks.is_mask(value, text))


def _made(call: Call, last: str, first: Value) -> Value | None:
    place = call.run.place(call.frame, call.node)
    match last:
        case "log_softmax" | "softmax":
            return (
                replace(first, kind=TensorKind.LOG_PROBS) if isinstance(first, Tensor) else Tensor(TensorKind.LOG_PROBS)
            )
        case "gather" if isinstance(first, Tensor) and first.kind is TensorKind.LOG_PROBS:
            return losses.log_probs(call, first)
        case "pad_sequence":
            return _padded(call, first)
        case "pad" if isinstance(first, Tensor) and fills_ignored(call):
            step = place.as_step("filled with -100")
            return replace(first, kind=TensorKind.LABELS, ragged=(*first.ragged, step))
        case "full" | "full_like" | "pad" | "new_full" if fills_ignored(call):
            return Tensor(TensorKind.LABELS, ragged=(place.as_step("filled with -100"),))
        case "where" | "masked_fill" if fills_ignored(call):
            return Tensor(TensorKind.LABELS, ragged=(place.as_step("positions set to -100"),))
        case "pow" | "square" | "abs" if isinstance(first, Tensor) and first.difference:
            even = last != "pow" or raw_losses.is_even(call.argument(1, "exponent"))
            return raw_losses.distance(call.run, call.frame, call.node, first) if even else first
        case "where" if isinstance(chosen := call.argument(1, "input"), Tensor):
            return chosen
        case "ne" | "eq" if isinstance(first, Tensor):
            leaves_out = last == "ne" and len(call.positional) > 1
            other = as_written(call.positional[1], call.written[1], call.frame.depth) if leaves_out else ""
            return mask_of(first, text_of(call.node), other)
    return None


def _passed_on(call: Call, last: str) -> Value | None:
    number = of_numbers(call) if last in _COMPUTES else None
    if number is not None:
        return number
    for value in (*call.positional, *(v for _, v in call.named)):
        if isinstance(value, Items | Many) and last in ("stack", "cat", "tensor", "as_tensor", "concat"):
            return _joined(value)
        if isinstance(value, Tensor) and last in ("stack", "cat", "tensor", "as_tensor", "LongTensor", "from_numpy"):
            return value
    return None


def _joined(parts: Items | Many) -> Value:
    """`torch.cat([label[:1], padding, label[1:]])`: of the tensors that a part may be, the one that says most."""
    values = parts.values if isinstance(parts, Items) else (parts.element,)
    telling = [losses.telling(value) for value in values]
    ragged = [one for one in telling if isinstance(one, Tensor) and one.ragged]
    if ragged:
        return ragged[0]
    return telling[0] if telling and isinstance(telling[0], Tensor | Elements) else UNKNOWN


def of_numbers(call: Call) -> Value | None:
    """`max(count, 1)`, `torch.clamp(loss, min=0)`: the loss or the count that it is computed of stays one."""
    if any(map(is_missing_count, call.positional)):
        call.run.record_unguarded(call.frame, call.node)
    for value in call.positional:
        found: list[Value] = [one for one in alternatives(value) if isinstance(one, Count | Product | Loss | Elements)]
        if found:
            return choice([_shaped(call, one) for one in found])
    return None


def _shaped(call: Call, value: Value) -> Value:
    name = last_name(call.node.func)
    if not isinstance(value, Loss) or name not in algebra.SHAPING:
        return value
    return algebra.shaped(value, name, text_of(call.node), call.run.place(call.frame, call.node))


def _padded(call: Call, first: Value) -> Value:
    place = call.run.place(call.frame, call.node)
    step = place.as_step("rows of different lengths padded here")
    kind = TensorKind.LABELS if fills_ignored(call) else TensorKind.OTHER
    inherited = first.ragged if isinstance(first, Tensor) else ()
    return Tensor(kind, ragged=(*inherited, step))


def fills_ignored(call: Call) -> bool:
    return any(
        isinstance(value, Const | Symbol) and is_ignore_index(value)
        for value in (*call.positional, *(value for _, value in call.named))
    )
