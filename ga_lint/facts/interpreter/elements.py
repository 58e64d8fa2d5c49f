"""What is one element of what is iterated over? From a loader to the parts of a batch and their names."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Choice,
    Class,
    Const,
    External,
    Function,
    Instance,
    Items,
    Many,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
)

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame

_TARGET_WORDS = ("label", "target", "lm_label", "tgt")
_TARGET_ENDS = ("labels", "label", "targets", "target")
_LENGTHS = re.compile(r"(^|_)(len|lens|lengths?|n(um)?_?tokens)$", re.IGNORECASE)


def names_targets(name: str) -> bool:
    """Is this what targets are called?"""
    return any(word in name.lower() for word in _TARGET_WORDS)


def tells_length(tensor: Tensor) -> bool:
    """Is it a part of the batch that says of each row how many positions it has?"""
    return tensor.from_batch and not tensor.flat and _LENGTHS.search(tensor.text) is not None


def is_ignore_index(value: Value) -> bool:
    """-100 or another negative number, or a name that says so."""
    match value:
        case Const(value=int() as number):
            return number < 0
        case Symbol(text=text):
            return "ignore_ind" in text.lower() or "ignore_id" in text.lower()
    return False


def element_of(run: Interpreter, frame: Frame, source: Value, target: ast.expr | None = None) -> Value:
    """One element of an iterable; for a loader, one batch."""
    match source:
        case Many(element=element):
            return element
        case Items(values=values):
            return choice(list(values)) if values else UNKNOWN
        case Choice(values=values):
            return choice([element_of(run, frame, value, target) for value in values])
        case Built():
            return batch_of(run, frame, source)
        case Instance(cls=cls):
            return _iterated(run, frame, cls)
        case Tensor():
            return source
        case _:
            return Tensor(TensorKind.BATCH)


def _iterated(run: Interpreter, frame: Frame, cls: Class) -> Value:
    """A loader or dataset class of the project: what `__getitem__` returns."""
    found = run.names.method(cls, "__getitem__")
    if found is None:
        return Tensor(TensorKind.BATCH)
    owner, node = found
    method = Function(node, run.names.scope_of(owner), Instance(cls))
    return as_batch(run.call(frame, method, (UNKNOWN,), ()))


def batch_of(run: Interpreter, frame: Frame, loader: Built) -> Value:
    """One batch of a DataLoader: what its collator makes of what its dataset gives."""
    for name in ("collate_fn", "data_collator", "collator"):
        collate = loader.argument(None, name)
        if collate is not None and not isinstance(collate, Unknown | Const):
            return choice([_collated(run, frame, loader, one) for one in alternatives(collate)])
    return _rows(run, frame, loader)


def _collated(run: Interpreter, frame: Frame, loader: Built, collate: Value) -> Value:
    match collate:
        case Function() | Instance():
            rows = Many(_rows(run, frame, loader))
            return as_batch(run.call(frame, collate, (rows,), ()))
        case External(name=name) | Built(name=name) if _keeps(run, name):
            return _rows(run, frame, loader)
        case Built(name=name, place=place):
            row = run.knowledge.collators.get(name)
            if row is None:
                return Tensor(TensorKind.BATCH)
            short = name.rpartition(".")[2]
            verb = "padded with -100" if row.targets == "pads" else "set to -100 where nothing is masked"
            step = place.as_step(f"labels {verb} by {short}")
            return Tensor(TensorKind.BATCH, ragged=(step,))
        case _:
            return Tensor(TensorKind.BATCH)


def _keeps(run: Interpreter, collator: str) -> bool:
    """Does it stack what the dataset gives? One of them is a function, and is not built."""
    row = run.knowledge.collators.get(collator)
    return row is not None and row.targets == "keeps"


def _rows(run: Interpreter, frame: Frame, loader: Built) -> Value:
    dataset = loader.argument(0, "dataset", "train_dataset") or UNKNOWN
    return choice([as_batch(_row(run, frame, one)) for one in alternatives(dataset)])


def _row(run: Interpreter, frame: Frame, dataset: Value) -> Value:
    match dataset:
        case Instance(cls=cls):
            return _iterated(run, frame, cls)
        case Many(element=element):
            return element
        case Tensor():
            return dataset
        case _:
            return Tensor(TensorKind.BATCH)


def as_batch(value: Value) -> Value:
    """Rows stacked to a batch: what is known of their targets stays."""
    match value:
        case Tensor():
            return value
        case Table(entries=entries):
            return replace(value, entries=tuple((key, _known_by(key, one)) for key, one in entries))
        case Items(values=values):
            return Items(tuple(_known_by("", one) for one in values))
        case Choice(values=values):
            return choice([as_batch(one) for one in values])
        case _:
            return Tensor(TensorKind.BATCH)


def _known_by(key: str, value: Value) -> Value:
    """A part of a row that is not known otherwise, by its key or later by the name that it gets."""
    return entry(Tensor(TensorKind.OTHER), key) if isinstance(value, Unknown) else value


def entry(base: Tensor, key: str) -> Tensor:
    """A part of a batch by its key or by the name that it gets."""
    lowered = key.lower()
    kind = TensorKind.OTHER
    if "mask" in lowered and not lowered.endswith(_TARGET_ENDS):  # `masked_lm_labels` are what is left to predict
        kind = TensorKind.MASK
    elif names_targets(lowered):
        kind = TensorKind.LABELS
    elif "logit" in lowered:
        kind = TensorKind.LOGITS
    return replace(base, kind=kind, text=key, from_batch=True, origin=_origin(base, key))


def _origin(base: Tensor, key: str) -> str:
    if not base.origin or not key.isidentifier():
        return key if not base.origin and key.isidentifier() else ""
    return f'{base.origin}["{key}"]'
