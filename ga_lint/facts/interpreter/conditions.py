"""How does a test come out, where that is known or assumed?"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.values import (
    Built,
    Const,
    Count,
    Elements,
    Function,
    Instance,
    Items,
    Loss,
    Model,
    Output,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Value,
)
from ga_lint.syntax.text import text_of
from ga_lint.syntax.walk import walk

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


_DISTRIBUTED = re.compile(r"(^|\.)dist(ributed)?$")
_COLLECTIVE = re.compile(r"\b(all_)?(reduce|gather)(_\w+)?$")
_OWNER = re.compile(r"(getattr\(|)(\w+)\b")  # who is asked: `trainer` in `getattr(trainer.args, ...)`


def truth(run: Interpreter, frame: Frame, state: State, test: ast.expr, value: Value) -> bool | None:
    """How a test comes out, where that is known or assumed."""
    if isinstance(value, Const):
        return bool(value.value)
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = truth(run, frame, state, operand, run.evaluate(frame, state, operand))
            return None if inner is None else not inner
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as operator], comparators=[right]):
            one, two = run.evaluate(frame, state, left), run.evaluate(frame, state, right)
            if two == Const(None) and _is_something(one):
                return isinstance(operator, ast.IsNot)
        case ast.Call(args=[one, *_]) if isinstance(run.evaluate(frame, state, one), Const) and _asks_for_tensor(test):
            return False
        case ast.Compare(
            left=ast.Constant(value=str() as key), ops=[ast.In() | ast.NotIn() as operator], comparators=[held]
        ) if isinstance(table := run.evaluate(frame, state, held), Table) and key in dict(table.entries):
            return isinstance(operator, ast.In)
        case ast.Compare(left=ast.Constant(value="labels"), ops=[ast.In() | ast.NotIn() as operator]):
            return isinstance(operator, ast.In)
        case ast.BoolOp(op=operator, values=operands):
            outcomes = [truth(run, frame, state, one, run.evaluate(frame, state, one)) for one in operands]
            decisive = isinstance(operator, ast.Or)
            if decisive in outcomes:
                return decisive
            return None if None in outcomes else not decisive
    if isinstance(value, Count) and value.is_trainers:
        return True
    return run.truths.get(_assumed_text(state, text_of(test)))


def is_for_ranks(test: ast.expr, body: list[ast.stmt]) -> bool:
    """`if dist.is_initialized():` around a collective: alone, there is nothing to put together."""
    match test:
        case ast.Call(func=ast.Attribute(value=module, attr="is_initialized"), args=[]):
            collective = any(
                _COLLECTIVE.search(text_of(node.func))
                for one in body
                for node in walk(one)
                if isinstance(node, ast.Call)
            )
            return bool(_DISTRIBUTED.search(text_of(module))) and collective
    return False


def _assumed_text(state: State, text: str) -> str:
    """The test as a method of the Trainer would write it: `trainer.args.x` in a helper that was handed `self`."""
    found = _OWNER.match(text)
    if found is None:
        return text
    match state.env.get(found[2]):
        case Instance():
            return f"{found[1]}self{text[found.end() :]}"
        case Symbol(text=owner) if owner.startswith("self."):
            return f"{found[1]}{owner}{text[found.end() :]}"
    return text


def _asks_for_tensor(test: ast.expr) -> bool:
    """`torch.is_tensor(x)`, `isinstance(x, torch.Tensor)`."""
    text = text_of(test)
    return text.startswith(("torch.is_tensor(", "is_tensor(")) or (text.startswith("isinstance(") and "Tensor" in text)


def _is_something(value: Value) -> bool:
    """Can this value not be None? An optional entry of a batch can."""
    if isinstance(value, Tensor):
        return value.kind in (TensorKind.LABELS, TensorKind.LOGITS, TensorKind.BATCH)
    return isinstance(value, Count | Loss | Elements | Function | Model | Built | Instance | Output | Table | Items)
