"""What does a call give, and what does it do to gradients?"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.facts.interpreter import (
    algebra,
    gradients,
    kernels,
    library,
    losses,
    objects,
    own_losses,
    tensors,
    trainer_calls,
)
from ga_lint.facts.interpreter.events import EventKind
from ga_lint.facts.interpreter.passed import named_of, positional_of
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.interpreter.remade import after_method
from ga_lint.facts.model import Level
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Class,
    Const,
    Elements,
    External,
    Function,
    Instance,
    Loss,
    Model,
    Symbol,
    Table,
    Tensor,
    Unknown,
    Value,
    alternatives,
    choice,
    is_missing_count,
)
from ga_lint.facts.values.program import argument_of
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter

_MODEL_NAMES = frozenset(
    "model net network student student_model unwrapped_model raw_model ddp_model model_engine engine policy actor "
    "gpt llm lm transformer base_model decoder".split()
)
_MODEL_INPUTS = frozenset("input_ids inputs_embeds attention_mask input_features pixel_values".split())
_LOADS = ("from_pretrained", "from_config", "_from_config")
_LOSS_ENDS = ("_loss_fn", "_loss_fct", "_loss_func", "criterion")
_LOSS_NAMES = ("criterion", "loss_fn", "loss_fct", "loss_func", "loss_function", "ce_loss", "xent")


class Call(Struct, frozen=True):
    """A call with its arguments evaluated."""

    run: Interpreter
    frame: Frame
    state: State
    node: ast.Call
    positional: tuple[Value, ...]
    written: tuple[ast.expr, ...]  # each of these as it is written: `pair[0]` for the first of `*pair`
    named: tuple[tuple[str, Value], ...]  # "**" for what is unpacked

    @property
    def method(self) -> str:
        return self.node.func.attr if isinstance(self.node.func, ast.Attribute) else ""

    @property
    def receiver_text(self) -> str:
        return text_of(self.node.func.value) if isinstance(self.node.func, ast.Attribute) else ""

    def argument(self, position: int | None, *names: str) -> Value | None:
        """The argument by any of its names, or by position; None when it was not passed."""
        return argument_of(self.positional, self.named, position, names)

    def argument_node(self, position: int | None, *names: str) -> ast.expr | None:
        """The argument as it is written; None for one that `*args` may hold or move."""
        for keyword in self.node.keywords:
            if keyword.arg in names:
                return keyword.value
        if position is None or position >= len(self.written):
            return None
        starred = any(isinstance(one, ast.Starred) for one in self.written[: position + 1])
        return None if starred else self.written[position]


def evaluate_call(run: Interpreter, frame: Frame, state: State, node: ast.Call) -> Value:
    """Evaluate receiver, arguments and callee, then the call on each alternative."""
    positional, written = positional_of(run, frame, state, node)
    call = Call(run, frame, state, node, positional, written, named_of(run, frame, state, node))
    if isinstance(node.func, ast.Name) and node.func.id == "super":
        return objects.super_value(frame)
    if isinstance(node.func, ast.Attribute):
        receiver = run.evaluate(frame, state, node.func.value)
        if is_missing_count(receiver):
            run.record_unguarded(frame, node)
            return UNKNOWN
        results = [_method(call, one) for one in alternatives(receiver)]
        return choice(results)
    callees = list(alternatives(run.evaluate(frame, state, node.func)))
    called = [callee for callee in callees if callee != Const(None)] or callees  # nobody calls None
    return choice([apply(call, callee) for callee in called])


def _method(call: Call, receiver: Value) -> Value:
    """`receiver.method(...)`: what it does to gradients, to tensors, or the call of an attribute."""
    match call.method, call.positional:
        case "__setitem__", (Const(value=str() as key), put):  # as `outputs[key] = put`
            call.state.env[f"{call.receiver_text}.{key}"] = put
    own = trainer_calls.by_method(call, receiver)
    if own is not None:
        return own
    done = gradients.record_call(call, receiver)
    if done is not None:
        return done
    known = after_method(call.method, tensors.method(call, receiver))
    if known is None and isinstance(receiver, Built | Symbol | Unknown):
        known = library.driver_method(call)
    if known is not None:
        return known
    assert isinstance(call.node.func, ast.Attribute)
    if call.method == "from_pretrained" and call.positional:
        networks = [one for one in alternatives(call.positional[0]) if isinstance(one, Model)]
        if networks:
            return choice([*networks])  # an adapter that is loaded onto them
    if call.method in ("forward", "__call__") and isinstance(receiver, Model):
        return apply(call, receiver)
    if call.method == "apply" and isinstance(receiver, Class):
        passed = objects.passed_on(call.run, receiver, call.positional)
        text, place = text_of(call.node.func), call.run.place(call.frame, call.node)
        losses_in = [one for one in alternatives(passed) if isinstance(one, Loss)]
        if losses_in:
            return choice([algebra.scaled(one, UNKNOWN, 1, text, place) for one in losses_in])
        return kernels.loss_of(call, receiver)
    callee = call.run.evaluate(call.frame, call.state, call.node.func)
    value = choice([apply(call, one) for one in alternatives(callee)])
    if isinstance(receiver, Class) and call.method in _LOADS and isinstance(value, Unknown):  # or left to super()
        return objects.loaded(call.run, receiver, call.positional, call.named)
    return value


def apply(call: Call, callee: Value) -> Value:
    """The value of calling `callee`."""
    run, frame = call.run, call.frame
    if isinstance(callee, External | Class) and trainer_calls.sets_trainer_up(call):
        place = run.place(frame, call.node)
        built = Built(callee.name if isinstance(callee, External) else "", call.positional, call.named, place)
        run.record(EventKind.TRAINER, frame, call.state, call.node, built, call.node, callee)
    match callee:
        case Symbol(text=name) | External(name=name) if name.endswith(".compute_loss"):
            return trainer_calls.original_call(call, name)
        case Function():
            return run.call(frame, callee, call.positional, call.named, call.state, call.node)
        case Class():
            return _construct(call, callee)
        case Instance(cls=cls):
            stock = objects.stock_model(run, cls)
            if stock is not None:
                return own_losses.output_of(call, stock)
            value = run.call(frame, callee, call.positional, call.named, call.state, call.node)
            return _by_name(call) if callee.supposed and isinstance(value, Unknown) else value
        case External(name=name):
            return library.call(call, name)
        case Built(name=name):
            row = run.knowledge.losses.get(name)
            if row is not None:
                return losses.loss_of(call, row, callee)
            parts = callee.positional[:1] or tuple(value for key, value in callee.named if key in ("module", "model"))
            inside = [one for part in parts for one in alternatives(part) if isinstance(one, Model | Instance)]
            value = choice([apply(call, network) for network in inside]) if inside else UNKNOWN
            return _by_name(call) if isinstance(value, Unknown) else value
        case Model():
            return _own_output(call, callee) or own_losses.output_of(call, callee)
        case Elements() | Loss():
            return UNKNOWN
        case _:
            return _by_name(call)


def _construct(call: Call, cls: Class) -> Value:
    """An object of a project class; of what a model returns, only its entries matter."""
    loss = call.argument(None, "loss")
    if loss is not None and any(isinstance(one, Loss) for one in alternatives(loss)):
        return Table(call.named)
    return objects.instance(call.run, cls, call.positional, call.named)


def _own_output(call: Call, model: Model) -> Value | None:
    """What the project's own network inside an engine returns, where a loss is in it."""
    if model.inner is None:
        return None
    value = call.run.call(call.frame, model.inner, call.positional, call.named, call.state, call.node)
    return own_losses.of_network(call, model.inner, value)


def _by_name(call: Call) -> Value:
    """A callee of which only the name is known: a model, a criterion, or nothing that matters."""
    if gradients.record_scaler(call):
        return UNKNOWN
    if any(isinstance(one, Loss) for one in alternatives(call.argument(None, "loss") or UNKNOWN)):
        return Table(call.named)
    if len(call.positional) == 1 and isinstance(rows := call.positional[0], Tensor) and rows.per_sample:
        return rows  # a layer on top of one vector for each row
    name = text_of(call.node.func).removesuffix(".forward").rpartition(".")[2]
    if any(isinstance(value, Model) for value in call.positional):
        wrapped = next(value for value in call.positional if isinstance(value, Model))
        if not any(isinstance(v, Tensor | Table) for v in call.positional) and name[:1].isupper():
            return wrapped
    keywords = {keyword for keyword, _ in call.named}
    if name.lower() in _MODEL_NAMES or (keywords & _MODEL_INPUTS and keywords & {*own_losses.OWN_LABELS}):
        return own_losses.output_of(call, Model(Level.UNKNOWN))
    if (
        name.lower().lstrip("_").startswith(_LOSS_NAMES)
        or name.lower().endswith(_LOSS_ENDS)
        or name.lower().endswith("criterion")
    ):
        return losses.guessed_loss(call, name)
    return UNKNOWN
