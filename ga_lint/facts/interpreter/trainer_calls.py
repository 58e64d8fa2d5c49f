"""Which calls lead to transformers' own code: a Trainer's method, a head's forward or loss, a Trainer's constructor?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import calls, losses, objects, own_losses
from ga_lint.facts.interpreter.events import EventKind
from ga_lint.facts.model import TRAINERS_SMOOTHER, Level
from ga_lint.facts.values import (
    COUNT,
    UNKNOWN,
    Class,
    Const,
    Count,
    External,
    Function,
    Instance,
    Loss,
    Model,
    Super,
    Symbol,
    Unknown,
    Value,
    alternatives,
)
from ga_lint.syntax.parsed import FunctionNode
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.calls import Call


def by_method(call: Call, receiver: Value) -> Value | None:
    """What a method of transformers' own gives, where the receiver leads to one."""
    match receiver, call.method:
        case Super(), ("compute_loss" | "training_step"):
            return super_call(call)
        case Super(), "__init__":
            return objects.made_by_super(call, receiver)
        case Super(cls=cls), "forward":
            head = head_above(call.run, cls)
            if head is not None:
                return own_losses.output_of(call, Model(Level(call.run.knowledge.head_level(head)), head))
        case Instance(cls=cls), "compute_loss" if is_trainers(call, cls):
            return own_losses.loss_of_super(call, isinstance(call.argument(3, COUNT), Count))
        case Instance(cls=cls), "label_smoother" if _is_inherited(call, cls):
            return _smoothed(call)
        case Instance(cls=cls), "loss_function" if is_heads(call, cls):
            return own_losses.loss_of_head(call, Level(call.run.knowledge.head_level(cls.node.name) or "unknown"))
        case ((Model() | Symbol()), "loss_function") if _asks_network(call, receiver):
            level = receiver.level if isinstance(receiver, Model) else Level.UNKNOWN
            return own_losses.loss_of_head(call, level, Confidence.LIKELY)
    return None


def _smoothed(call: Call) -> Value:
    """`self.label_smoother(outputs, labels)` of a Trainer; what it counts of shifted labels is not written here."""
    if any(keyword.arg is None for keyword in call.node.keywords):
        return UNKNOWN  # timid: the count may be in there where the release of transformers takes it
    value = losses.loss_of(call, call.run.knowledge.losses.rows[TRAINERS_SMOOTHER])
    if call.argument(2, "shift_labels") in (None, Const(False)) or not isinstance(value, Loss):
        return value
    return replace(value, terms=tuple(replace(one, site=replace(one.site, divisor=None)) for one in value.terms))


def super_call(call: Call) -> Value:
    """Record whether the count is handed on; the value is what the base's method makes of it."""
    assert isinstance(call.node.func, ast.Attribute)
    by_name = bool(call.written) and text_of(call.written[0]) == "self"
    method = call.method
    position = (2 if method == "training_step" else 3) + by_name
    count = call.argument(position, COUNT)
    unpacked = [value for name, value in call.named if name == "**"]
    starred = any(isinstance(argument, ast.Starred) for argument in call.written)
    passes_rest = bool(unpacked) or (starred and not (method == "compute_loss" and _takes_keywords(call.frame.node)))
    forwarded = isinstance(count, Count) or (count is not None and count != Const(None)) or passes_rest
    keywords = {keyword.arg for keyword in call.node.keywords}
    unpacks = Const(None in keywords and COUNT not in keywords)
    call.run.record(
        EventKind.SUPER_CALL, call.frame, call.state, call.node, Const(forwarded), call.node, unpacks, method
    )
    callee = call.run.evaluate(call.frame, call.state, call.node.func)
    if isinstance(callee, Function):
        return calls.apply(call, callee)
    if method == "training_step":
        return UNKNOWN
    return own_losses.loss_of_super(call, forwarded)


def _takes_keywords(node: ast.AST) -> bool:
    """`def compute_loss(self, *args, **kwargs)`: the count comes by its name, and so is never among `*args`."""
    return isinstance(node, FunctionNode) and node.args.kwarg is not None


def original_call(call: Call, name: str) -> Value:
    """`original(model, inputs, ...)`, where `original` is what was `trainer.compute_loss` or `Trainer.compute_loss`."""
    of_class = name.rpartition(".")[0].rpartition(".")[2][:1].isupper()
    count = call.argument(3 + of_class, COUNT)
    forwarded = isinstance(count, Count) or any(one == "**" for one, _ in call.named)
    text = "compute_loss"
    call.run.record(EventKind.SUPER_CALL, call.frame, call.state, call.node, Const(forwarded), call.node, UNKNOWN, text)
    return own_losses.loss_of_super(call, forwarded)


def head_above(run: Interpreter, cls: Class) -> str | None:
    """The stock head whose forward `super()` reaches, unless a class of the project's own stands between."""
    if run.names.method(cls, "forward", after=cls) is not None:
        return None
    names = (one.name for base in run.names.ancestry(cls) for one in alternatives(base) if isinstance(one, External))
    return next((name for name in names if run.knowledge.head_level(name)), None)


def sets_trainer_up(call: Call) -> bool:
    """`Trainer(model=..., args=..., train_dataset=...)`, whatever the class is called."""
    last = text_of(call.node.func).rpartition(".")[2]
    return last.endswith("Trainer") or any(name == "train_dataset" for name, _ in call.named)


def is_trainers(call: Call, cls: Class) -> bool:
    """Is `self.compute_loss` the Trainer's own?"""
    named = any(argument.arg == COUNT for argument in call.node.keywords)
    return call.run.names.method(cls, "compute_loss") is None and (named or len(call.written) > 1)


def _asks_network(call: Call, receiver: Value) -> bool:
    """`model.loss_function(logits, labels, vocab_size)` from outside of the model: that many are its alone."""
    named = isinstance(receiver, Symbol) and receiver.text.rpartition(".")[2].endswith("model")
    takes_sizes = call.argument(2, "vocab_size") is not None
    return takes_sizes and (named or isinstance(receiver, Model))


def is_heads(call: Call, cls: Class) -> bool:
    """Is `loss_function` the property of transformers' models, not an attribute of the class's own?"""
    found = call.run.names.method(cls, "loss_function")
    if found is not None:
        return found[0].node.name == "PreTrainedModel"
    return _is_inherited(call, cls)


def _is_inherited(call: Call, cls: Class) -> bool:
    """Is this attribute none that the project sets?"""
    own = objects.attribute(call.run, call.frame, cls, Instance(cls), call.method, text_of(call.node.func))
    return isinstance(own, Symbol | Unknown | External)
