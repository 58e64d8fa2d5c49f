"""What can a name stand for? The abstract values that the interpreter computes with.

Only what matters for a loss is told apart: losses and counts exactly, models, loaders and batches by kind, all the rest
is `UNKNOWN`. Values are immutable and compare by content, so that paths on which nothing that matters differs can be
joined again.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from ga_lint.facts.values.containers import Items, Many, Table
from ga_lint.facts.values.losses import COUNT, NO_COUNT, Count, Elements, Loss, Product, Scale, is_missing_count
from ga_lint.facts.values.program import (
    UNKNOWN,
    Built,
    Class,
    Const,
    External,
    Function,
    Instance,
    Module,
    Super,
    Symbol,
    Unknown,
)
from ga_lint.facts.values.tensors import Model, Output, Part, Tensor, TensorKind
from ga_lint.facts.values.windows import Boundary, Counter, Remainder

__all__ = [
    "COUNT",
    "NO_COUNT",
    "UNKNOWN",
    "Boundary",
    "Built",
    "Choice",
    "Class",
    "Const",
    "Count",
    "Counter",
    "Elements",
    "External",
    "Function",
    "Instance",
    "Items",
    "Loss",
    "Many",
    "Model",
    "Module",
    "Output",
    "Part",
    "Product",
    "Remainder",
    "Scale",
    "Super",
    "Symbol",
    "Table",
    "Tensor",
    "TensorKind",
    "Unknown",
    "Value",
    "alternatives",
    "choice",
    "is_missing_count",
    "matters",
]

_MATTER = frozenset((Loss, Elements, Count, Boundary))
# Most values are one of these, and `matters` is asked of every name wherever paths meet.
_NEVER_MATTER = frozenset((Unknown, Symbol, External, Module, Built, Function, Class, Instance, Model, Tensor, Output))
MAX_OUTPUTS = 16  # entries of what a network returns, whose losses are kept beside those of others
MAX_CHOICES = 8  # beyond this a value with so many alternatives says nothing any more


class Choice(Struct, frozen=True):
    """One of several values, depending on the path."""

    values: tuple[Value, ...]


Value = (
    Unknown
    | Const
    | Symbol
    | External
    | Module
    | Built
    | Function
    | Class
    | Instance
    | Super
    | Model
    | Tensor
    | Output
    | Count
    | Elements
    | Loss
    | Items
    | Many
    | Table
    | Remainder
    | Product
    | Counter
    | Boundary
    | Choice
)


def choice(values: list[Value]) -> Value:
    """The values as one: itself when there is one; of too many, the first of those that matter."""
    first = values[0] if values else UNKNOWN
    if all(value is first for value in values):
        return first
    flat: list[Value] = []
    for value in values:
        for one in alternatives(value):
            if one not in flat:
                flat.append(one)
    if len(flat) == 1:
        return flat[0]
    if len(flat) > MAX_CHOICES:
        flat = [value for value in flat if matters(value) or _holds_what_matters(value)][:MAX_CHOICES]
    return Choice(tuple(flat)) if flat else UNKNOWN


def alternatives(value: Value) -> Iterator[Value]:
    """Each value that it may be."""
    if isinstance(value, Choice):
        yield from value.values
    else:
        yield value


def _holds_what_matters(value: Value) -> bool:
    if not isinstance(value, Table) or len(value.entries) > MAX_OUTPUTS:
        return False
    return any(matters(one) for _, one in value.entries)


def matters(value: Value) -> bool:
    """Must paths that differ in this value be told apart?"""
    kind = type(value)
    if kind in _NEVER_MATTER or kind in _MATTER:
        return kind in _MATTER
    if isinstance(value, Const):
        return value.value in ("mean", "sum", "none")
    if isinstance(value, Product):
        return any(matters(one) for one, _, _ in value.factors)
    return isinstance(value, Choice | Items) and any(map(matters, value.values))
