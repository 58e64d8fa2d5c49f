"""Which name gets which part, where a value is unpacked: by an assignment, or as the arguments of a call?"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter.calling import bind
from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.interpreter.remade import remade
from ga_lint.facts.values import (
    UNKNOWN,
    Choice,
    Elements,
    Function,
    Items,
    Loss,
    Many,
    Model,
    Output,
    Table,
    Tensor,
    TensorKind,
    Value,
    alternatives,
    choice,
)
from ga_lint.syntax.parameters import positional_names
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame

_BATCH_KINDS = (TensorKind.BATCH, TensorKind.OTHER)
_LOSS_WORD = re.compile(r"(^|_)loss$", re.IGNORECASE)


def unpacked(run: Interpreter, frame: Frame, value: Value, targets: list[ast.expr]) -> list[Value]:
    """The values that several targets get."""
    match value:
        case Items(values=values) if any(isinstance(target, ast.Starred) for target in targets):
            return _with_rest(values, targets)
        case Items(values=values) if len(values) <= len(
            targets
        ):  # `(loss,) + outputs[2:]`: of the others little is known
            known = [_named_part(one, target) for one, target in zip(values, targets, strict=False)]
            return [*known, *[UNKNOWN] * (len(targets) - len(values))]
        case Tensor():
            return [_part(value, text_of(target), index) for index, target in enumerate(targets)]
        case Table(entries=entries) if len(entries) == len(targets):
            return [one for _, one in entries]
        case Output(first=first):
            return _with_loss(first, targets)
        case Choice(values=values):
            columns = [unpacked(run, frame, one, targets) for one in values]
            return [choice([column[index] for column in columns]) for index in range(len(targets))]
        case Many(element=Tensor(), source=Tensor(kind=TensorKind.BATCH) as batch):
            # `tuple(part.to(device) for part in batch)`: the parts get the names that those of the batch would
            return [remade(_part(batch, text_of(target), index)) for index, target in enumerate(targets)]
        case Many(element=element):
            return [element] * len(targets)
        case Model():  # `model, report = Network.from_pretrained(path)`
            return [value, *[UNKNOWN] * (len(targets) - 1)]
        case Loss() | Elements():
            return [value, *[UNKNOWN] * (len(targets) - 1)]
        case _:
            return [UNKNOWN] * len(targets)


def handed_to(
    function: Function, positional: tuple[Value, ...], named: tuple[tuple[str, Value], ...], node: ast.Call | None
) -> dict[str, Value]:
    """What each parameter gets in this call, batches that are unpacked into it part by part."""
    given = bind(function, _spread(function, positional, node) if node else positional, named)
    return {**_spread_by_name(function, named), **given}


def _spread(function: Function, positional: tuple[Value, ...], node: ast.Call) -> tuple[Value, ...]:
    """The arguments of `f(*batch)`: each parameter gets the part of the batch that it has the name of."""
    batch = positional[-1] if positional and len(positional) == len(node.args) else UNKNOWN
    if not isinstance(batch, Tensor) or not isinstance(node.args[-1], ast.Starred):
        return positional
    names = positional_names(function.node)[function.bound is not None :][len(positional) - 1 :]
    return (*positional[:-1], *(_part(batch, name, index) for index, name in enumerate(names)))


def _spread_by_name(function: Function, named: tuple[tuple[str, Value], ...]) -> dict[str, Value]:
    """The arguments of `f(**batch)`: targets, masks, and what has no default, are parts of the batch.

    What is unpacked by name has names, so a part of what a loader yields, `task, batch`, is a batch here too.
    """
    unpacked_value = next((value for name, value in named if name == "**"), UNKNOWN)
    batches = [one for one in alternatives(unpacked_value) if isinstance(one, Tensor) and one.kind in _BATCH_KINDS]
    if not batches:
        return {}
    tables = [one for one in alternatives(unpacked_value) if isinstance(one, Table)]
    parameters = function.node.args
    plain = [one.arg for one in (*parameters.posonlyargs, *parameters.args)][function.bound is not None :]
    needed = set(plain[: len(plain) - len(parameters.defaults)])
    given: dict[str, Value] = {}
    for name in (*plain, *(one.arg for one in parameters.kwonlyargs)):
        parts = [entry(batch, name) for batch in batches]
        if name in needed or parts[0].kind in (TensorKind.LABELS, TensorKind.MASK):
            known = [value for table in tables for key, value in table.entries if key == name]
            given[name] = choice([*known, *parts])
    return given


def _with_rest(values: tuple[Value, ...], targets: list[ast.expr]) -> list[Value]:
    """`loss, *rest = values`, `engine, *_ = deepspeed.initialize(...)`: each from its end, the star has the rest."""
    before = next(index for index, target in enumerate(targets) if isinstance(target, ast.Starred))
    behind = len(targets) - before - 1
    if len(values) < before + behind:
        return [UNKNOWN] * len(targets)
    end = len(values) - behind
    return [*values[:before], Items(values[before:end]), *values[end:]]


def _with_loss(loss: Value, targets: list[ast.expr]) -> list[Value]:
    """What a model returns, as it is unpacked: the loss first, unless another name alone says that it is one."""
    named = [index for index, target in enumerate(targets) if _LOSS_WORD.search(text_of(target))]
    index = named[0] if len(named) == 1 else 0
    return [loss if one == index else UNKNOWN for one in range(len(targets))]


def _named_part(value: Value, target: ast.expr) -> Value:
    """A part of a row that was not known so far."""
    nameless = isinstance(value, Tensor) and value == entry(Tensor(TensorKind.OTHER), "")
    return entry(Tensor(TensorKind.OTHER), text_of(target)) if nameless else value


def _part(batch: Tensor, name: str, index: int) -> Tensor:
    """One of the tensors that a batch is unpacked to, known by the name that it gets."""
    part = entry(batch, name)
    return replace(part, origin=f"{batch.origin}[{index}]") if batch.origin else part
