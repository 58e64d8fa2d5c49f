"""Which nodes stand below one of LibCST's? Read from its fields: LibCST's own ways make a visitor for each node."""

from __future__ import annotations

import dataclasses
import functools
from typing import Optional

import libcst as cst

_NO_NODES = (str, bool, Optional[str])  # noqa: UP045 - as LibCST writes it


def parents_below(node: cst.CSTNode) -> dict[cst.CSTNode, cst.CSTNode]:
    """The parent of every node in there; as LibCST's own provider says, which takes six times as long."""
    parents: dict[cst.CSTNode, cst.CSTNode] = {}
    todo = [node]
    for outer in todo:  # it grows meanwhile
        inner = children_of(outer)
        parents.update(dict.fromkeys(inner, outer))
        todo += inner
    return parents


def children_of(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The nodes right below, of whatever kind; `node.children` makes a visitor for each."""
    found: list[cst.CSTNode] = []
    for name in _fields_of(type(node)):
        value = getattr(node, name)
        if isinstance(value, list | tuple):
            found += value
        elif isinstance(value, cst.CSTNode):
            found.append(value)
    return found


@functools.cache
def _fields_of(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    """The fields of this type of node that may hold nodes: all but texts and flags."""
    return tuple(one.name for one in dataclasses.fields(kind) if one.type not in _NO_NODES)
