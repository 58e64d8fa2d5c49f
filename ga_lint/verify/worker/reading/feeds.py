"""What does a loop draw from its loader: one micro-batch, or a whole window that it takes apart itself?

A window comes as a list of micro-batches, or as one batch that the loop splits. In both cases the loop is given the
same windows twice: in as many parts as it has accumulation steps, and in one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from ga_lint.verify.worker.reading.roles import unwrap_iterable
from ga_lint.verify.worker.reading.sources import Function, dotted, last

_BACKWARD = ("backward", "manual_backward")
_MICRO = re.compile(
    r"micro\w*(size|bs)|^mbs$|per_(gpu|device|rank)\w*(size|bs)|(size|bs)_per_(gpu|device|rank)", re.IGNORECASE
)
_WINDOW = re.compile(r"batch_size|^bs$|^bsz$", re.IGNORECASE)


class Feed(Enum):
    """What one item of the loader is."""

    MICRO_BATCH = "a micro-batch"
    LIST = "a list of micro-batches"
    WINDOW = "a window that the loop splits"


def feeds_of(loop: ast.AST, nodes: Sequence[ast.AST], roles: Mapping[str, str]) -> tuple[Feed, ...]:
    """How this loop may be fed, the likeliest first."""
    inner = [node for node in _loops(nodes, loop) if isinstance(node, ast.For) and _holds_backward(node, nodes)]
    drawn = {name for outer in _loops(nodes, None) if _is_over_loader(outer, roles) for name in _target(outer)}
    for each in inner:
        iterable = dotted(unwrap_iterable(each.iter)[0])
        if iterable in drawn and not _is_taken_apart(iterable, nodes):
            return (Feed.MICRO_BATCH, Feed.LIST)
    return (Feed.MICRO_BATCH, Feed.WINDOW) if inner else (Feed.MICRO_BATCH,)


def size_named(name: str, micro: int, window: int) -> int | None:
    """The number of rows that a name stands for, where a loop splits its windows itself."""
    if _MICRO.search(name):
        return micro
    return window if _WINDOW.search(name) else None


def _loops(nodes: Sequence[ast.AST], but: ast.AST | None) -> Iterator[ast.For | ast.While]:
    found = (node for root in nodes for node in ast.walk(root) if node is not but)
    yield from (node for node in found if isinstance(node, ast.For | ast.While))


def _is_over_loader(loop: ast.For | ast.While, roles: Mapping[str, str]) -> bool:
    name = dotted(unwrap_iterable(loop.iter)[0]) if isinstance(loop, ast.For) else None
    return roles.get(name or "") in ("loader", "iterator")


def _target(loop: ast.For | ast.While) -> set[str]:
    target = loop.target if isinstance(loop, ast.For) else loop.test
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _holds_backward(loop: ast.AST, nodes: Sequence[ast.AST]) -> bool:
    helpers = {n.name for n in nodes if isinstance(n, Function) and any(_calls(n, _BACKWARD))}
    return any(_calls(loop, (*_BACKWARD, *helpers)))


def _calls(node: ast.AST, names: Sequence[str]) -> Iterator[ast.Call]:
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            name = each.func.attr if isinstance(each.func, ast.Attribute) else last(dotted(each.func))
            if name in names:
                yield each


def _is_taken_apart(name: str, nodes: Sequence[ast.AST]) -> bool:
    """Whether the name is assigned in the loop, or read as batches are: it is no list of them."""
    for node in (each for root in nodes for each in ast.walk(root)):
        match node:
            case ast.Assign(targets=targets) if any(dotted(target) == name for target in targets):
                return True
            case ast.Subscript(slice=ast.Constant(value=str())) | ast.Attribute() if dotted(node.value) == name:
                return True
    return False
