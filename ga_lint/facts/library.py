"""What does a call into somebody else's library give?"""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from ga_lint.facts import algebra, engines, losses, torch_calls
from ga_lint.facts.elements import element_of
from ga_lint.facts.model import Level
from ga_lint.facts.remade import after_function
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Choice,
    Const,
    Count,
    Counter,
    Elements,
    External,
    Function,
    Instance,
    Items,
    Loss,
    Many,
    Model,
    Product,
    Scale,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Value,
    alternatives,
    choice,
    is_missing_count,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.calls import Call

_TRANSPARENT = frozenset(
    "tqdm trange iter list tuple reversed sorted cycle islice deepcopy copy track progress_bar".split()
)
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
    if name.startswith("builtins.") or last in _TRANSPARENT:
        found = _builtin(call, last)
        if found is not None:
            return found
    if last in _REDUCES_OVER_RANKS:
        return _over_ranks(call)
    if last == "all_gather_object" and len(call.positional) > 1 and isinstance(call.positional[1], Count):
        gathered = replace(call.positional[1], scale=Scale.GLOBAL)
        call.state.env[text_of(call.node.args[0])] = Many(gathered)
        return UNKNOWN
    if name.startswith("torch") and (found := torch_calls.call(call, last)) is not None:
        return after_function(last, found)
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


def _by_last_name(call: Call, name: str):  # type: ignore[no-untyped-def]
    """A loss of torch's whose import is not in sight (`F.cross_entropy` in a fragment)."""
    root, _, last = name.rpartition(".")
    if root in ("F", "nn", "nn.functional", "functional", "torch", ""):
        return call.run.knowledge.losses.get(f"torch.nn.functional.{last}") or call.run.knowledge.losses.get(
            f"torch.nn.{last}"
        )
    return None


def _builtin(call: Call, name: str) -> Value | None:
    first = call.positional[0] if call.positional else UNKNOWN
    match name:
        case "enumerate":
            return Many(Items((UNKNOWN, _element(call, first))), first)
        case "zip":
            return Many(Items(tuple(_element(call, one) for one in call.positional)))
        case "range" | "trange":
            return Many(UNKNOWN, steps=_range_length(call))
        case "sum":
            return _sum(call, first)
        case "len":
            if isinstance(first, Many) and isinstance(first.element, Count) and first.element.scale is Scale.GLOBAL:
                return Symbol("get_world_size()")  # one count of each rank
            filled = isinstance(first, Many) and first.loop in [loop.id for loop in call.frame.loops]
            return Counter(length=True) if filled else Symbol(text_of(call.node))
        case "next":
            return _element(call, first)
        case "dict":
            return first if call.positional else Table(tuple((k, v) for k, v in call.named if k != "**"))
        case "getattr":
            return _getattr(call)
        case "isinstance" | "hasattr":
            return UNKNOWN
    if name in _TRANSPARENT:
        return first
    if name in torch_calls.NUMBERS:
        if any(map(is_missing_count, call.positional)):
            call.run.record_unguarded(call.frame, call.node)
        for value in call.positional:
            if isinstance(value, Count | Product | Loss | Elements):
                return value
        if name == "min" and any(isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) for one in call.node.args):
            return Symbol(text_of(call.node))  # what is left, where that is less: no other name for one of the two
        named = [value for value in call.positional if isinstance(value, Symbol)]
        return named[0] if named else first if isinstance(first, Const) else UNKNOWN
    return None


def _getattr(call: Call) -> Value:
    if len(call.node.args) >= 2 and isinstance(call.positional[1], Const) and isinstance(call.positional[1].value, str):
        attribute = ast.copy_location(ast.Attribute(call.node.args[0], call.positional[1].value, ast.Load()), call.node)
        return call.run.evaluate(call.frame, call.state, attribute)
    return UNKNOWN


def _element(call: Call, source: Value) -> Value:
    return element_of(call.run, call.frame, source)


def _range_length(call: Call) -> Value:
    match call.node.args:
        case [_]:
            value = call.positional[0]
            return value if isinstance(value, Const | Symbol) else Symbol(text_of(call.node.args[0]))
        case [_, stop] if call.positional[0] in (Const(0), Const(1)):
            return Symbol(text_of(stop))
        case _:
            return Symbol(text_of(call.node))


def _sum(call: Call, source: Value) -> Value:
    """`sum(count(b) for b in window)`: the window's count, or a list of losses added up."""
    match source:
        case Many(element=Count(scale=Scale.GLOBAL) as count):
            return count
        case Many(element=Count() as count):
            return _of(count, Scale.WINDOW, text_of(call.node))
        case Many(element=Loss() as loss):
            return loss
        case Many(element=Choice(values=values)):
            return _added([one for one in values if isinstance(one, Loss)])
        case Items(values=values):
            counts = [value for value in values if isinstance(value, Count)]
            return counts[0] if counts else _added([one for one in values if isinstance(one, Loss)])
        case Count() | Loss():
            return source
    return UNKNOWN


def _added(parts: list[Loss]) -> Value:
    total = parts[0] if parts else None
    for part in parts[1:]:
        total = algebra.added(total, part) if total else part
    return total or UNKNOWN


def _of(count: Count, scale: Scale, text: str) -> Count:
    return Count(count.what, scale, text=text, shifted=count.shifted, place=count.place)


def _over_ranks(call: Call) -> Value:
    """A collective: a count becomes global, in place or not."""
    if not call.positional:
        return UNKNOWN
    value = call.positional[0]
    if isinstance(value, Count):
        everywhere = _of(value, Scale.GLOBAL, value.text)
        if (
            call.node.args
            and isinstance(call.node.args[0], ast.Name | ast.Attribute)
            and "all_reduce" in text_of(call.node.func)
        ):
            call.state.env[text_of(call.node.args[0])] = everywhere
        return everywhere
    return UNKNOWN


def _made(call: Call, name: str, last: str) -> Value:
    """A model, a wrapper around one, a known object, or nothing that matters."""
    run = call.run
    place = run.place(call.frame, call.node)
    if name.endswith("deepspeed.initialize"):
        return engines.engine(call)
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
        return losses.log_probs(call)  # trl's selective_log_softmax and its like
    if last[:1].isupper():
        return Built(name, call.positional, call.named, place)
    return Symbol(text_of(call.node)) if not call.node.args and not call.node.keywords else UNKNOWN


def _wrapped(call: Call, last: str) -> Value | None:
    """The network inside a wrapper: `DDP(model)`, `torch.compile(model)`, `get_peft_model(model, config)`."""
    for value in (*call.positional, *(value for _, value in call.named)):
        models: list[Value] = [one for one in alternatives(value) if isinstance(one, Model)]
        if last[:1].isupper() or "compile" in last or "model" in last:
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
