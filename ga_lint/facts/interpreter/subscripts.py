"""What does `base[key]` give? A part of a batch, an output or a table; a shift, or only some of the positions."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import cross_entropies, masks
from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.interpreter.picked import picked_by_mask
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Choice,
    Class,
    Const,
    Elements,
    External,
    Instance,
    Items,
    Loss,
    Many,
    Output,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame


_POSITION = re.compile(r"(^|[._])(pos|position|idx|index)$")  # one of them; `slice_indices` are many


def subscript(run: Interpreter, frame: Frame, base: Value, key: Value, node: ast.Subscript) -> Value:
    """`base[key]`."""
    picked = picked_by_mask(run, frame, base, key, node) or _some(run, frame, base, node)
    if picked is not None:
        return picked
    match base, key:
        case Choice(values=values), _:
            return choice([subscript(run, frame, one, key, node) for one in values])
        case Output(), Const(value=str() as name):
            return output_attribute(run, frame, base, name, node)
        case Built(), Const(value=str() as name) if (given := base.argument(None, name)) is not None:
            return given
        case Output(), Const(value=0):
            read_loss(run, frame, base, node)
            return base.first
        case Items(values=values), Const(value=int() as index) if -len(values) <= index < len(values):
            return values[index]
        case Table(handed=True), Const(value=str() as name) if name not in dict(base.entries):
            return _by_key(base.rest, name, node)
        case Table(), Const(value=str() as name):
            return base.get(name)
        case Table(entries=entries), (Unknown() | Symbol()) if entries and all(_is_class(one) for _, one in entries):
            return choice([one for _, one in entries])
        case Output(), _:
            return _sliced(Tensor(TensorKind.LOGITS, "logits"), node, key)
        case Many(element=element), _:
            return _one_of(element, key, node)
        case Tensor(), _:
            picked = cross_entropies.indexed(run, frame, base, key, node)
            return picked or _at(base, key, node) or _sliced(base, node, key)
        case Elements(), Tensor(kind=TensorKind.MASK):
            return masks.masked(base, key, text_of(node.slice), run.place(frame, node), picked=True)
        case Elements(), _:
            return base
        case ((Unknown() | Symbol()), Items()) if _is_one_position(node, key):
            return Tensor(TensorKind.OTHER, text_of(node), per_sample=True)
        case ((Unknown() | Symbol() | Built() | Instance()), Const(value=str() as name)):
            return _by_key(base, name, node)
        case _:
            return UNKNOWN


def _at(base: Tensor, key: Value, node: ast.Subscript) -> Tensor | None:
    """`batch["labels"]`, or `batch[1]`, one of the tensors of a batch that has a name."""
    match key:
        case Const(value=str() as name) if base.kind in (TensorKind.BATCH, TensorKind.OTHER):
            return entry(base, name)
        case Const(value=int() as index) if base.kind is TensorKind.BATCH and base.origin:
            part = replace(base, kind=TensorKind.OTHER, text=text_of(node), from_batch=True)
            return replace(part, origin=f"{base.origin}[{index}]")
    return None


def _by_key(base: Value, name: str, node: ast.Subscript) -> Value:
    """`sample["labels"]`, of which only the key is known."""
    guess = entry(Tensor(TensorKind.OTHER), name)
    if guess.kind is not TensorKind.OTHER:
        return guess
    return Symbol(f"{base.text}.{name}" if isinstance(base, Symbol) else text_of(node))


def _some(run: Interpreter, frame: Frame, base: Value, node: ast.Subscript) -> Value | None:
    """`outputs[:2]`, `batch[1:]`: several parts of something."""
    if not isinstance(node.slice, ast.Slice):
        return None
    part = _part(node.slice)
    match base:
        case Items(values=values) if part is not None:
            return Items(values[part])
        case Output() if part == slice(None, 2):
            read_loss(run, frame, base, node)
            return Items((base.first, Tensor(TensorKind.LOGITS, "logits")))
        case Many():
            return base
    return None


def _one_of(element: Value, key: Value, node: ast.Subscript) -> Value:
    """`batch[3]`, where `batch` is a tuple of tensors: the loop would write it so too."""
    if isinstance(element, Choice):
        return choice([_one_of(one, key, node) for one in element.values])
    if not isinstance(element, Tensor) or not element.origin:
        return element
    same = isinstance(key, Const) and isinstance(key.value, int) and text_of(node.value) == element.origin
    return replace(element, origin=text_of(node) if same else "")


def _is_class(value: Value) -> bool:
    """What a registry holds under the name of a kind of model: classes, or several that belong together."""
    return all(isinstance(one, Class | External) for one in (value.values if isinstance(value, Items) else (value,)))


def _part(node: ast.Slice) -> slice | None:
    """`[:2]`, `[1:]`: where both ends are numbers or left out."""
    bounds = [
        None if one is None else one.value if isinstance(one, ast.Constant) else ... for one in (node.lower, node.upper)
    ]
    if node.step is not None or not all(one is None or isinstance(one, int) for one in bounds):
        return None
    return slice(*bounds)


def read_loss(run: Interpreter, frame: Frame, output: Output, node: ast.expr) -> None:
    """Keep where a model's own loss is read."""
    for one in alternatives(output.loss):
        if isinstance(one, Loss):
            place = run.place(frame, node)
            run.loss_reads.extend((term.site.call, place) for term in one.terms)


def output_attribute(run: Interpreter, frame: Frame, output: Output, name: str, node: ast.expr) -> Value:
    """`outputs.loss`, `outputs["logits"]`."""
    if name == "loss":
        read_loss(run, frame, output, node)
        return output.loss
    if name == "logits":
        return Tensor(TensorKind.LOGITS, "logits")
    return UNKNOWN


def _is_one_position(node: ast.Subscript, key: Value) -> bool:
    """`hidden[:, 0]`, `hidden[:, -1, :]`, `hidden[:, position, :]`: one vector for each row."""
    match node.slice, key:
        case ast.Tuple(elts=[first, ast.Name() | ast.Attribute() as one, last]), Items(values=[_, position, _]):
            number = isinstance(position, Const) and isinstance(position.value, int)
            known = number or (_POSITION.search(text_of(one)) and not isinstance(position, Tensor | Items | Many))
            return bool(known) and _selects_all([first, last])
    match node.slice:
        case ast.Tuple(elts=[ast.Slice(lower=None, upper=None), ast.Constant(value=int()), *rest]):
            return _selects_all(rest)  # `candidates[:, 0, 1:]` is a row of tokens of each sample
        case ast.Tuple(elts=[ast.Slice(lower=None, upper=None), ast.UnaryOp(operand=ast.Constant(value=int())), *rest]):
            return _selects_all(rest)
    return False


def _picks_in_each_row(node: ast.Subscript) -> bool:
    """`logits[torch.arange(rows), last]`: what stands at a position of its own in each row."""
    match node.slice:
        case ast.Tuple(elts=[ast.Call(func=ast.Attribute(attr="arange")), position, *rest]):
            return not isinstance(position, ast.Slice) and _selects_all(rest)
    return False


def _sliced(base: Tensor, node: ast.Subscript, key: Value) -> Tensor:
    """`labels[..., 1:]` and `logits[:, :-1]` shift; any other index only selects."""
    one_position = _is_one_position(node, key) or (_picks_in_each_row(node) and not base.flat)
    if one_position and base.kind is not TensorKind.LABELS:
        return replace(base, per_sample=True)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for part in parts:
        if isinstance(part, ast.Slice):
            lower = isinstance(part.lower, ast.Constant) and part.lower.value == 1 and part.upper is None
            upper = part.lower is None and part.upper is not None and text_of(part.upper) == "-1"
            if lower or upper:
                kind = base.kind if base.kind is not TensorKind.BATCH else TensorKind.OTHER
                # labels[:, 1:] is what a shift drops; a second cut, or one at the other end, is no shift of theirs
                whole = _selects_all([one for one in parts if one is not part])  # `labels[i, 1:]` is one row's
                return replace(base, shifted=True, kind=kind, remade=base.remade or base.shifted or upper or not whole)
            if base.kind is TensorKind.OTHER and base.ragged and _has_one_width(part):
                # What is padded is as wide as any other row here.
                return replace(base, ragged=(), kept=False, remade=True)
    return base if _selects_all(parts) else replace(base, remade=True)


def _has_one_width(part: ast.Slice) -> bool:
    """`[start : start + width]`: as many columns of each micro-batch."""
    match part:
        case ast.Slice(lower=ast.expr() as lower, upper=ast.BinOp(left=left, op=ast.Add(), right=right), step=None):
            return text_of(lower) in (text_of(left), text_of(right))
    return False


def _selects_all(parts: list[ast.expr]) -> bool:
    """`labels[:]`, `mask[..., None]`: every element is still there."""
    return all(
        (isinstance(part, ast.Constant) and part.value in (None, ...))
        or (isinstance(part, ast.Slice) and part.lower is part.upper is part.step is None)
        for part in parts
    )
