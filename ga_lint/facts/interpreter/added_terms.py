"""What becomes of something unknown that is added to a loss?

It comes in once for every micro-batch. Where the window's count divides the loss, nothing divides what is added, and
its weight grows with the steps; elsewhere whoever weighs the loss has to know where it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import algebra
from ga_lint.facts.interpreter.algebra import STEPS_NAME
from ga_lint.facts.interpreter.paths import Frame
from ga_lint.facts.model import ADDED_TERM, SUPERS_LOSS, Level, LossSite, LossTerm, Reduction
from ga_lint.facts.values import Loss, Symbol, Tensor, TensorKind, Unknown, Value
from ga_lint.syntax.text import text_of
from ga_lint.syntax.walk import walk

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter

# Without a gradient, or there only so that every parameter has one.
_WITHOUT_GRADIENT = re.compile(r"no_grad|\.(detach|item)\(\)\)*$|(?<![\w.])0(\.0*)?\s*\*|\*\s*0(\.0*)?(?![\w.])")
# Divided by the window all the same, or that.
_SPARED = re.compile(rf"num_items|window|share|{_WITHOUT_GRADIENT.pattern}")
_CONSTANT = re.compile(r"eps\b|epsilon|bias$|offset$", re.IGNORECASE)


def with_unknown(run: Interpreter, frame: Frame, loss: Loss, other: Value, node: ast.expr) -> Loss:
    """`loss + other`: a term of its own where the count divides the loss, or could; else a place to be known of."""
    counts = isinstance(other, Tensor) and other.kind in (TensorKind.LABELS, TensorKind.MASK)
    unknown = isinstance(other, Unknown | Symbol | Tensor) and not counts
    if not frame.running or not unknown or _CONSTANT.search(text_of(node)) or _is_accumulator(frame, node):
        return loss
    texts, place = list(_texts(frame, node)), run.place(frame, node)
    if not any(_WITHOUT_GRADIENT.search(text) for text in texts):
        loss = algebra.with_added(loss, place)
    if not any(term.uses_count or term.site.callee == SUPERS_LOSS for term in loss.terms):
        return loss
    if any(STEPS_NAME.search(text) or _SPARED.search(text) for text in texts):
        return loss
    site = LossSite(ADDED_TERM, Reduction.MEAN, Level.UNKNOWN, place, place, Confidence.LIKELY, scope=frame.name)
    term = LossTerm(site)
    return loss if term in loss.terms else replace(loss, terms=(*loss.terms, term))


def _texts(frame: Frame, node: ast.expr) -> Iterator[str]:
    """The term as it is written, and what its names are assigned in this function."""
    yield text_of(node)
    names = set(_operands(node))
    for targets, value in _assignments(frame.node):
        if targets & names:
            yield text_of(value)


def _assignments(node: ast.AST) -> list[tuple[set[str], ast.expr]]:
    """Which names are assigned together, and what. Kept on the function: every sum in it asks."""
    found: list[tuple[set[str], ast.expr]] | None = node.__dict__.get("_ga_lint_assignments")
    if found is None:
        found = []
        for statement in walk(node):
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign) and statement.value is not None:
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                names = {one.id for target in targets for one in walk(target) if isinstance(one, ast.Name)}
                found.append((names, statement.value))
        node._ga_lint_assignments = found  # type: ignore[attr-defined]
    return found


def _operands(node: ast.expr) -> Iterator[str]:
    """The names that the term is computed from, those that a call is handed left out."""
    match node:
        case ast.Name(id=name):
            yield name
        case ast.BinOp(left=left, right=right):
            yield from _operands(left)
            yield from _operands(right)
        case ast.UnaryOp(operand=inner) | ast.Call(func=ast.Attribute(value=inner)):
            yield from _operands(inner)


def _is_accumulator(frame: Frame, node: ast.expr) -> bool:
    """`total` in `total = total + loss` or `total += loss`, which starts as zeros."""
    if not isinstance(node, ast.Name):
        return False
    for statement in walk(frame.node):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp() as value) if name == node.id:
                if node in (value.left, value.right):
                    return True
            case ast.AugAssign(target=target) if target is node:
                return True
    return False
