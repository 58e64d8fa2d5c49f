"""Does this call run backward, step an optimizer, clear or scale gradients?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter.events import EventKind, Guard
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Const,
    Elements,
    External,
    Instance,
    Loss,
    Model,
    Output,
    Product,
    Value,
    alternatives,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.calls import Call
    from ga_lint.facts.interpreter.paths import Frame, State

MANUAL = "manual_backward"  # of a LightningModule; Fabric's is its `backward`
_BACKWARD = ("backward", MANUAL)
_OF_GRADIENTS = frozenset((*_BACKWARD, "step", "zero_grad", "mul_", "div_"))
_UPDATE = ("update_grad", "need_update")  # of timm's NativeScaler and its copies
_OPTIMIZER_WORDS = ("optim", "opt", "adam", "sgd")


def record_call(call: Call, receiver: Value) -> Value | None:
    """Record the call if it does something to gradients; its value, or None if it is another call."""
    method = call.method
    if method not in _OF_GRADIENTS:
        return None  # before it is asked whose it is, which may lead through the bases of many files
    own = isinstance(receiver, Instance) and call.run.names.method(receiver.cls, method) is not None
    if own and not (method == "step" and _is_optimizer(call.run, receiver)):
        return None  # the project's own method of that name
    if isinstance(receiver, Output) and method == "backward":
        receiver = receiver.first
    if method in _BACKWARD:
        return _backward(call, receiver)
    if method == "step":
        return _step(call, receiver)
    if method == "zero_grad":
        call.run.record(
            EventKind.ZERO_GRAD, call.frame, call.state, call.node, UNKNOWN, call.node, receiver, call.receiver_text
        )
        return Const(None)
    if method in ("mul_", "div_") and call.written and is_gradient(call.receiver_text):
        power = 1 if method == "mul_" else -1
        record_scaling(call.run, call.frame, call.state, call.node, call.written[0], power)
        return UNKNOWN
    return None


def _is_optimizer(run: Interpreter, receiver: Value) -> bool:
    """Is it an object of an optimizer class that the project has written itself?"""
    bases = run.names.ancestry(receiver.cls) if isinstance(receiver, Instance) else ()
    return any(isinstance(base, External) and base.name.startswith("torch.optim") for base in bases)


def record_scaler(call: Call) -> bool:
    """`loss_scaler(loss, optimizer, update_grad=...)`: backward, then a step under the test that was passed."""
    passed = next(((k.arg, k.value) for k in call.node.keywords if k.arg in _UPDATE), None)
    losses = [one for one in alternatives(call.positional[0]) if isinstance(one, Loss)] if call.positional else []
    if passed is None or len(call.positional) < 2 or not losses:
        return False
    run, frame, name = call.run, call.frame, text_of(call.node.func)
    run.record(EventKind.BACKWARD, frame, call.state, call.node, call.positional[0], call.written[0])
    test = run.evaluate(frame, call.state, passed[1])
    stepped = call.state.fork()
    stepped.guards = (*stepped.guards, Guard(test, True, text_of(passed[1]), run.place(frame, passed[1])))
    run.record(EventKind.STEP, frame, stepped, call.node, UNKNOWN, call.node, UNKNOWN, name)
    return True


def is_gradient(text: str) -> bool:
    """Is this the gradient of a parameter: `p.grad`, `p.grad.data`?"""
    return text.removesuffix(".data").endswith(".grad")


def record_scaling(run: Interpreter, frame: Frame, state: State, node: ast.AST, factor: ast.expr, power: int) -> None:
    """Keep that a gradient is multiplied (`power` 1) or divided (-1) by `factor`."""
    value = run.evaluate(frame, state, factor)
    known = value if isinstance(value, Product) else Product(((value, text_of(factor), 1),))
    scale = Product(tuple((one, text, power * own) for one, text, own in known.factors))
    run.record(EventKind.SCALE_GRADIENT, frame, state, node, scale, factor)


def _backward(call: Call, receiver: Value) -> Value:
    """`loss.backward()`, `scaler.scale(loss).backward()`, `accelerator.backward(loss)`, `engine.backward(loss)`."""
    assert isinstance(call.node.func, ast.Attribute)
    loss: Value
    driver: Value
    if call.positional and not isinstance(receiver, Loss | Elements):
        loss, node, driver, text = call.positional[0], call.written[0], receiver, call.receiver_text
    elif (passed := call.argument_node(None, "loss")) is not None:
        loss, node, driver, text = call.argument(None, "loss") or UNKNOWN, passed, receiver, call.receiver_text
    else:
        loss, node, driver, text = receiver, _inside_scaler(call.node.func.value), UNKNOWN, ""
    if isinstance(loss, Output):
        loss = loss.first
    if call.method == "manual_backward":
        text = MANUAL
    call.run.record(EventKind.BACKWARD, call.frame, call.state, call.node, loss, node, driver, text)
    return Const(None)


def _inside_scaler(node: ast.expr) -> ast.expr:
    """`loss` of `scaler.scale(loss)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "scale" and node.args:
        return node.args[0]
    return node


def _step(call: Call, receiver: Value) -> Value | None:
    text = call.receiver_text
    last = text.rpartition(".")[2].lower()
    if "sched" in last or "profiler" in last or last in ("prof", "p"):
        return None
    passed = [text_of(argument).rpartition(".")[2].lower() for argument in call.written]
    is_optimizer = (
        any(last.startswith(word) or word in last.split("_") for word in _OPTIMIZER_WORDS)
        or "optim" in last
        or (isinstance(receiver, Built) and ".optim" in receiver.name)
        or (last.endswith("scaler") and bool(passed))
        or isinstance(receiver, Model)
        or _is_optimizer(call.run, receiver)
        or last in ("model", "engine", "model_engine", "ds_engine", "fabric")
        or any("optim" in name for name in passed)
    )
    if not is_optimizer:
        return None
    call.run.record(EventKind.STEP, call.frame, call.state, call.node, UNKNOWN, call.node, receiver, text)
    return Const(None)
