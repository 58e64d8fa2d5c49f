"""What does a method of a loss give? `loss.div(steps)`, `loss.add(penalty)`, `loss.mean()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ga_lint.facts.interpreter import added_terms, algebra
from ga_lint.facts.model import SCALAR
from ga_lint.facts.values import UNKNOWN, Count, Loss, Scale, Value
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

_DETACHES = frozenset("detach item tolist numpy".split())
_POWERS = {"div": -1, "true_divide": -1, "mul": 1}
_ADDS = ("add", "sub")


def method(call: Call, loss: Loss, name: str) -> Value:
    """What the loss is afterwards: scaled, with something beside it, or as it was."""
    if name in _DETACHES:
        return UNKNOWN
    if name == "numel":
        text = text_of(call.node)
        return Count(SCALAR, Scale.MICRO_BATCH, text=text, depth=len(call.frame.loops))
    operation = name.removesuffix("_")
    if operation in algebra.SHAPING:
        result = algebra.shaped(loss, operation, text_of(call.node), call.run.place(call.frame, call.node))
        if name.endswith("_"):
            call.state.env[call.receiver_text] = result
        return result
    if (operation not in _POWERS and operation not in _ADDS) or not call.positional:
        return loss  # .mean() over ranks or replicas, .to(device), .float(), ...
    other, node = call.positional[0], call.written[0]
    if operation in _POWERS:
        place = call.run.place(call.frame, call.node)
        result = algebra.scaled(loss, other, _POWERS[operation], text_of(node), place)
    elif isinstance(other, Loss):
        result = algebra.added(loss, other)
    else:
        result = added_terms.with_unknown(call.run, call.frame, loss, other, node)
    if name.endswith("_"):
        call.state.env[call.receiver_text] = result
    return result
