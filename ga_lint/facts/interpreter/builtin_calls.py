"""What does a builtin give, or what is as transparent as one? `enumerate`, `zip`, `sum`, `len`, `tqdm`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter import algebra, torch_calls
from ga_lint.facts.interpreter.elements import element_of
from ga_lint.facts.interpreter.picked import are_kept, number_of
from ga_lint.facts.values import (
    UNKNOWN,
    Choice,
    Const,
    Count,
    Counter,
    Items,
    Loss,
    Many,
    Scale,
    Symbol,
    Table,
    Tensor,
    Unknown,
    Value,
    is_missing_count,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call


TRANSPARENT = frozenset(
    "tqdm trange iter list tuple reversed sorted cycle islice deepcopy copy track progress_bar".split()
)


def of_builtin(call: Call, name: str) -> Value | None:
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
            if isinstance(first, Tensor) and are_kept(first):
                return number_of(call.run, call.frame, call.node, first, text_of(call.node))
            filled = isinstance(first, Many) and first.loop in [loop.id for loop in call.frame.loops]
            return Counter(length=True) if filled else Symbol(text_of(call.node))
        case "next":
            return _element(call, first)
        case "dict":
            known = tuple((key, value) for key, value in call.named if key != "**")
            return first if call.positional else Table(known, is_open=len(known) < len(call.named))
        case "getattr":
            return _getattr(call)
    if name in TRANSPARENT:
        return first
    if name in torch_calls.NUMBERS:
        number = torch_calls.of_numbers(call)
        if number is not None:
            return number
        if name == "min" and any(isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) for one in call.written):
            return Symbol(text_of(call.node))  # what is left, where that is less: no other name for one of the two
        return _of_several(call, first)
    return None


def _of_several(call: Call, first: Value) -> Value:
    """`max(1, steps)`: what has a name, whatever the number beside it guards against."""
    parts = list(zip(call.positional, call.written, strict=False))
    named = [value for value, _ in parts if isinstance(value, Symbol)]
    unknown = [node for value, node in parts if isinstance(value, Unknown)]
    if not named and len(unknown) == 1 and len(parts) == 2:  # a number beside it is not what comes out
        return Symbol(text_of(call.node)) if isinstance(unknown[0], ast.Name | ast.Attribute) else UNKNOWN
    return named[0] if named else first if isinstance(first, Const) and not is_missing_count(first) else UNKNOWN


def _getattr(call: Call) -> Value:
    if len(call.written) >= 2 and isinstance(call.positional[1], Const) and isinstance(call.positional[1].value, str):
        attribute = ast.copy_location(ast.Attribute(call.written[0], call.positional[1].value, ast.Load()), call.node)
        return call.run.evaluate(call.frame, call.state, attribute)
    return UNKNOWN


def _element(call: Call, source: Value) -> Value:
    return element_of(call.run, call.frame, source)


def _range_length(call: Call) -> Value:
    if any(isinstance(one, ast.Starred) for one in call.written):  # which may stand for none
        return Symbol(text_of(call.node))
    match call.written:
        case [_]:
            value = call.positional[0]
            return value if isinstance(value, Const | Symbol) else Symbol(text_of(call.written[0]))
        case [_, stop] if call.positional[0] == Const(0):
            return Symbol(text_of(stop))
        case [_, ast.BinOp(left=stop, op=ast.Add(), right=ast.Constant(value=1))] if call.positional[0] == Const(1):
            return Symbol(text_of(stop))
        case [start, stop]:
            return Symbol(text_of(ast.BinOp(stop, ast.Sub(), start)))
        case _:
            return Symbol(text_of(call.node))


def _sum(call: Call, source: Value) -> Value:
    """`sum(count(b) for b in window)`: the window's count, or a list of losses added up."""
    match source:
        case Many(element=Count(scale=Scale.GLOBAL) as count):
            return count
        case Many(element=Count() as count):
            return widened(count, Scale.WINDOW, text_of(call.node))
        case Many(element=Loss() as loss):
            return loss
        case Many(element=Choice(values=values)):
            return algebra.added_up(values, call.run.place(call.frame, call.node)) or UNKNOWN
        case Items(values=values):
            counts = [value for value in values if isinstance(value, Count)]
            place = call.run.place(call.frame, call.node)
            return counts[0] if counts else algebra.added_up(values, place) or UNKNOWN
        case Count() | Loss():
            return source
    return UNKNOWN


def widened(count: Count, scale: Scale, text: str) -> Count:
    return Count(count.what, scale, text=text, shifted=count.shifted, place=count.place)
