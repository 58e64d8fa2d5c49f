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


def method(call: Call, loss: Loss, name: str) -> Value:
    """What the loss is afterwards: scaled, with something beside it, or as it was."""
    if name in _DETACHES:
        return UNKNOWN
    if name == "numel":
        text = text_of(call.node)
        return Count(SCALAR, Scale.MICRO_BATCH, text=text, depth=len(call.frame.loops))
    if name in ("div", "div_", "true_divide", "mul", "mul_") and call.positional:
        power = -1 if name.startswith(("div", "true")) else 1
        text = text_of(call.node.args[0])
        place = call.run.place(call.frame, call.node)
        result = algebra.scaled(loss, call.positional[0], power, text, place)
        if name.endswith("_"):
            call.state.env[call.receiver_text] = result
        return result
    if name in ("add", "add_", "sub", "sub_") and call.positional:
        other = call.positional[0]
        if isinstance(other, Loss):
            result = algebra.added(loss, other)
        else:
            result = added_terms.with_unknown(call.run, call.frame, loss, other, call.node.args[0])
        if name.endswith("_"):
            call.state.env[call.receiver_text] = result
        return result
    return loss  # .mean() over ranks or replicas, .to(device), .float(), ...
