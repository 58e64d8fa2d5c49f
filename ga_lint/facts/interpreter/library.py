"""What does a call into somebody else's library give?"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import engines, losses, torch_calls
from ga_lint.facts.interpreter.builtin_calls import TRANSPARENT, of_builtin, widened
from ga_lint.facts.interpreter.remade import after_function
from ga_lint.facts.model import Level
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Const,
    Count,
    External,
    Function,
    Instance,
    Items,
    Many,
    Model,
    Scale,
    Symbol,
    Tensor,
    TensorKind,
    Value,
    alternatives,
    choice,
)
from ga_lint.knowledge.model import LossRow
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

# `fully_shard(model)`, `checkpoint_wrapper(model)`, `get_peft_model(model, config)`: the same network comes back.
_WRAPS = re.compile(r"compile|model|shard|wrap|parallel|replicate|quantize|convert")
_PREPARES = frozenset("prepare setup setup_module setup_dataloaders prepare_data_loader to_device".split())
_REDUCES_OVER_RANKS = frozenset("gather reduce all_reduce all_gather gather_for_metrics all_gather_into_tensor".split())


def call(call: Call, name: str) -> Value:
    """The value of calling the External `name`."""
    run = call.run
    last = name.rpartition(".")[2]
    row = run.knowledge.losses.get(name) or _by_last_name(call, name)
    if row is not None:
        if row.kind == "function":
            return losses.loss_of(call, row)
        return Built(row.name, call.positional, call.named, run.place(call.frame, call.node))
    if name == "importlib.import_module" and call.positional and isinstance(call.positional[0], Const):
        return External(str(call.positional[0].value))
    if name.startswith("builtins.") or last in TRANSPARENT:
        found = of_builtin(call, last)
        if found is not None:
            return found
    if last in _REDUCES_OVER_RANKS and name != "torch.gather":
        return _over_ranks(call)
    if last == "all_gather_object" and len(call.positional) > 1 and isinstance(call.positional[1], Count):
        gathered = replace(call.positional[1], scale=Scale.GLOBAL)
        call.state.env[text_of(call.written[0])] = Many(gathered)
        return UNKNOWN
    if name.startswith("torch") and (found := torch_calls.call(call, last)) is not None:
        longer = last == "pad" and torch_calls.fills_ignored(call)  # and no target more or less
        return found if longer else after_function(last, found)
    return _made(call, name, last)


def driver_method(call: Call) -> Value | None:
    """A method that accelerators and Fabric have: prepare what is passed, or reduce over ranks."""
    if call.method == "skip_first_batches":
        return (call.positional or (UNKNOWN,))[0]
    if call.method in _PREPARES:
        return Items(call.positional) if len(call.positional) > 1 else (call.positional or (UNKNOWN,))[0]
    if call.method in _REDUCES_OVER_RANKS:
        return _over_ranks(call)
    return None


def _by_last_name(call: Call, name: str) -> LossRow | None:
    """A loss of torch's whose import is not in sight (`F.cross_entropy` in a fragment)."""
    root, _, last = name.rpartition(".")
    if root in ("F", "nn", "nn.functional", "functional", "torch", ""):
        rows = call.run.knowledge.losses
        return rows.get(f"torch.nn.functional.{last}") or rows.get(f"torch.nn.{last}")
    return None


def _over_ranks(call: Call) -> Value:
    """A collective: a count becomes global, in place or not."""
    if not call.positional:
        return UNKNOWN
    value = call.positional[0]
    if isinstance(value, Count):
        everywhere = widened(value, Scale.GLOBAL, value.text)
        if (
            call.written
            and isinstance(call.written[0], ast.Name | ast.Attribute)
            and "all_reduce" in text_of(call.node.func)
        ):
            call.state.env[text_of(call.written[0])] = everywhere
        return everywhere
    return UNKNOWN


def _made(call: Call, name: str, last: str) -> Value:
    """A model, a wrapper around one, a known object, or nothing that matters."""
    run = call.run
    place = run.place(call.frame, call.node)
    if name.endswith("deepspeed.initialize"):
        return engines.engine(call)
    if name.endswith("amp.initialize") and call.positional:  # apex gives back what it is handed
        return Items(call.positional) if len(call.positional) > 1 else call.positional[0]
    if name.endswith("amp.scale_loss") and call.positional:  # and undoes its scale before the step
        return call.positional[0]
    if last == "partial" and call.positional:
        return _partial(call)
    known = run.knowledge.collators.get(name) or run.knowledge.drivers.get(name) or run.knowledge.trainers.get(name)
    if known or "collat" in last.lower():
        return Built(name, call.positional, call.named, place)
    level = run.knowledge.head_level(name)
    if level is not None:
        return Model(Level(level), name, run.knowledge.head_shifts(name))
    wrapped = _wrapped(call, last)
    if wrapped is not None:
        return wrapped
    if last in ("load_dataset", "load_from_disk"):
        return Tensor(TensorKind.BATCH)
    if last.endswith("log_softmax") and last != "log_softmax":
        return losses.log_probs(call, (call.positional or (UNKNOWN,))[0])  # trl's selective_log_softmax and its like
    if last[:1].isupper():
        return Built(name, call.positional, call.named, place)
    return Symbol(text_of(call.node)) if not call.written and not call.node.keywords else UNKNOWN


def _wrapped(call: Call, last: str) -> Value | None:
    """The network inside a wrapper: `DDP(model)`, `torch.compile(model)`, `fully_shard(model)`."""
    for value in (*call.positional, *(value for _, value in call.named)):
        models: list[Value] = [one for one in alternatives(value) if isinstance(one, Model)]
        if last[:1].isupper() or _WRAPS.search(last):
            models = [one for one in alternatives(value) if isinstance(one, Model | Instance)]
        if models:
            return choice(models)
    return None


def _partial(call: Call) -> Value:
    target = call.positional[0]
    if isinstance(target, Function):
        names = [argument.arg for argument in target.node.args.args]
        bound = tuple(zip(names, call.positional[1:], strict=False))
        return replace(target, preset=(*bound, *call.named))
    if isinstance(target, External):
        row = call.run.knowledge.losses.get(target.name)
        if row is not None:
            return Built(row.name, call.positional[1:], call.named, call.run.place(call.frame, call.node))
    return target
