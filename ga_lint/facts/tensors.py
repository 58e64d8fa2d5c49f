"""What do tensor methods and loss calls give? Reductions, shapes, counts."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts import algebra
from ga_lint.facts.elements import element_of, entry, is_ignore_index, subscript
from ga_lint.facts.model import Level, LossSite, LossTerm, Place, Reduction
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Choice,
    Const,
    Count,
    Elements,
    Instance,
    Items,
    Loss,
    Many,
    Model,
    Output,
    Scale,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
)
from ga_lint.knowledge.model import LossRow

if TYPE_CHECKING:
    from ga_lint.facts.calls import Call

_KEEPS = frozenset(
    "to cuda cpu contiguous float double half bfloat16 long int bool type type_as clone detach_ requires_grad_ clamp "
    "clamp_min clamp_ clamp_min_ nan_to_num expand squeeze unsqueeze pow abs neg exp log sqrt masked_select gather "
    "scale".split()
)
_DETACHES = frozenset("detach item tolist cpu numpy".split())
_SAME_OBJECT = frozenset("to cuda cpu train eval half float bfloat16 requires_grad_ compile".split())
_SHAPES = frozenset("view reshape flatten transpose permute contiguous float log_softmax softmax squeeze to".split())
_CLASSES = ("num_labels", "num_classes", "n_classes", "nclass", "num_class")


def method(call: Call, receiver: Value) -> Value | None:
    """The value of a method of a tensor, a loss, a count or a batch; None when it is not one of theirs."""
    name = call.method
    if isinstance(receiver, Model | Instance) and name in _SAME_OBJECT:
        return receiver
    if isinstance(receiver, Output):
        if name in ("mean", "sum"):
            return receiver.first
        if name in _SHAPES:
            receiver = Tensor(TensorKind.LOGITS, "logits")
    if name == "scale" and call.positional:  # GradScaler undoes it before the step
        return call.positional[0]
    match receiver:
        case Loss():
            return _loss_method(call, receiver, name)
        case Elements():
            return _elements_method(call, receiver, name)
        case Count():
            return _count_method(receiver, name)
        case Tensor():
            return _tensor_method(call, receiver, name)
        case Table() if name in ("get", "pop"):
            return _lookup(call, receiver)
        case Table() if name in ("items", "values"):
            inside = choice([value for _, value in receiver.entries] or [receiver.rest])
            return Many(Items((UNKNOWN, inside)) if name == "items" else inside, receiver)
        case Many() if name in ("append", "extend"):
            return Const(None)
        case Items() if name == "append" and call.positional:
            call.state.env[call.receiver_text] = Many(call.positional[0])
            return Const(None)
        case Unknown() | Symbol() if name in ("get", "pop") and call.positional:
            key = call.positional[0]
            if isinstance(key, Const) and isinstance(key.value, str):
                guess = entry(Tensor(TensorKind.OTHER), key.value)
                return guess if guess.kind is not TensorKind.OTHER else None
            return None
        case Unknown() | Symbol():
            return _unknown_method(call, name)
    return None


def _lookup(call: Call, receiver: Value) -> Value:
    key = call.positional[0] if call.positional else UNKNOWN
    if isinstance(receiver, Table) and isinstance(key, Const) and isinstance(key.value, str):
        if call.method == "pop" and call.receiver_text in call.state.env:
            rest = tuple((name, value) for name, value in receiver.entries if name != key.value)
            call.state.env[call.receiver_text] = Table(rest, receiver.rest)
        if key.value in dict(receiver.entries):
            return receiver.get(key.value)
        return call.positional[1] if len(call.positional) > 1 else receiver.rest
    if isinstance(receiver, Tensor) and isinstance(key, Const) and isinstance(key.value, str):
        return entry(receiver, key.value)
    return UNKNOWN


def _loss_method(call: Call, loss: Loss, name: str) -> Value:
    if name in _DETACHES:
        return UNKNOWN
    if name in ("div", "div_", "true_divide", "mul", "mul_") and call.positional:
        power = -1 if name.startswith(("div", "true")) else 1
        text = ast.unparse(call.node.args[0])
        place = call.run.place(call.frame, call.node)
        result = algebra.scaled(loss, call.positional[0], power, text, place)
        if name.endswith("_"):
            call.state.env[call.receiver_text] = result
        return result
    return loss  # .mean() over ranks or replicas, .to(device), .float(), ...


def _elements_method(call: Call, elements: Elements, name: str) -> Value:
    if name in ("detach", "item", "tolist", "numpy", "size", "dim"):
        return UNKNOWN
    if name in ("sum", "mean"):
        return reduce(call, elements, name, call.argument(0, "dim", "axis"))
    if name in ("mul", "mul_", "masked_select", "masked_fill", "masked_fill_") and call.positional:
        text = ast.unparse(call.node.args[0])
        if algebra.is_mask(call.positional[0], text):
            return algebra.masked(elements, call.positional[0], text, call.run.place(call.frame, call.node))
    if name in ("view", "reshape", "flatten") and elements.site.level is Level.SAMPLE:
        return elements
    return elements


def reduce(call: Call, elements: Elements, name: str, axis: Value | None) -> Value:
    """`.sum()`, `.mean()`, over all or along one axis."""
    reduction = Reduction.SUM if name == "sum" else Reduction.MEAN
    place = call.run.place(call.frame, call.node)
    match axis:
        case None | Const(value=None):
            return algebra.reduced(elements, reduction, place)
        case Const(value=int() as number):
            return algebra.along_axis(elements, number, reduction, place)
        case Items(values=axes) if len(axes) > 1:
            return algebra.reduced(elements, reduction, place)
        case _:
            return algebra.along_axis(elements, None, reduction, place)


def _count_method(count: Count, name: str) -> Value:
    if name in ("sum", "item", "clamp", "clamp_min", "float", "to", "long", "int", "cuda", "max", "clone", "detach",
                "type_as", "maximum", "double", "view", "reshape", "unsqueeze", "squeeze", "cpu", "type", "tolist", "mean"):
        return count
    return UNKNOWN


def _tensor_method(call: Call, tensor: Tensor, name: str) -> Value | None:
    text = ast.unparse(call.node)
    place = call.run.place(call.frame, call.node)
    if name in ("get", "pop"):
        return _lookup(call, tensor)
    if name in ("items", "values"):
        return Many(Items((UNKNOWN, tensor)) if name == "items" else tensor, tensor)
    if name in ("sum", "count_nonzero") and tensor.kind is TensorKind.MASK:
        axis = call.argument(0, "dim", "axis")
        per_sample = isinstance(axis, Const) and isinstance(axis.value, int) and axis.value != 0
        return UNKNOWN if per_sample else Count(tensor.text, Scale.MICRO_BATCH, text=text, depth=len(call.frame.loops))
    if name == "numel":
        return Count(f"{call.receiver_text}.numel()", Scale.MICRO_BATCH, text=text, depth=len(call.frame.loops))
    if name in ("ne", "eq", "gt", "ge", "lt", "not_equal"):
        return replace(tensor, kind=TensorKind.MASK, text=text)
    if name in ("masked_fill", "masked_fill_"):
        value = call.argument(1, "value")
        if value is not None and is_ignore_index(value):
            step = Step(f"positions of `{call.receiver_text}` set to the ignore index", place.path, place.span)
            result = replace(tensor, kind=TensorKind.LABELS, ragged=(*tensor.ragged, step))
            if name.endswith("_"):
                call.state.env[call.receiver_text] = result
            return result
        return tensor
    if name in ("view", "reshape", "flatten"):
        return _flattened(call, tensor)
    if name in ("transpose", "permute", "swapaxes", "mT"):
        return replace(tensor, flat=True)
    if name == "log_softmax":
        return replace(tensor, kind=TensorKind.LOG_PROBS)
    if name == "gather" and tensor.kind is TensorKind.LOG_PROBS:
        return log_probs(call)
    if name == "size" or name == "dim":
        return UNKNOWN
    if name in _KEEPS or name in ("long", "detach", "pin_memory", "index_select"):
        return tensor
    if name in ("sum", "mean", "max", "argmax", "item", "tolist", "any", "all"):
        return UNKNOWN
    return tensor


def _flattened(call: Call, tensor: Tensor) -> Tensor:
    text = " ".join(ast.unparse(argument) for argument in call.node.args)
    if any(word in text for word in _CLASSES):
        return tensor
    many = len(call.node.args) > 1
    return replace(tensor, flat=tensor.flat or (many and tensor.kind is not TensorKind.LABELS))


def _unknown_method(call: Call, name: str) -> Value | None:
    """Masks and counts that are only known by their names."""
    receiver = call.receiver_text
    if name == "sum" and "mask" in receiver.lower():
        axis = call.argument(0, "dim", "axis")
        if axis is not None:
            return UNKNOWN
        return Count(receiver, Scale.MICRO_BATCH, text=ast.unparse(call.node), depth=len(call.frame.loops))
    if name in ("to", "cuda", "contiguous", "float", "long", "clone", "view", "reshape"):
        guess = replace(entry(Tensor(TensorKind.OTHER), receiver.rpartition(".")[2]), from_batch=False)
        if guess.kind is not TensorKind.OTHER:
            return tensor_like(call, guess, name)
    return None


def tensor_like(call: Call, tensor: Tensor, name: str) -> Tensor:
    return _flattened(call, tensor) if name in ("view", "reshape") else tensor


def loss_of(call: Call, row: LossRow, built: Built | None = None) -> Value:
    """The value of calling a loss that is known."""
    run = call.run
    place = run.place(call.frame, call.node)
    given = (built.argument(None, "reduction") if built else call.argument(None, "reduction")) or Const(row.default)
    labels = call.argument(row.labels, "target", "labels", "targets")
    logits = call.argument(0, "input", "logits")
    count = call.argument(None, row.count) if row.count else None
    results = []
    for reduction in alternatives(given):
        site = _site(call, row, built, labels, logits, place)
        results.append(_reduced_as(call, site, reduction, row, count))
    return choice(results)


def _reduced_as(call: Call, site: LossSite, reduction: Value, row: LossRow, count: Value | None) -> Value:
    if isinstance(count, Count):
        return Loss((LossTerm(replace(site, reduction=Reduction.SUM, counted=True)),))
    match reduction:
        case Const(value="none"):
            return Elements(site, inner=1 if "kl_div" in row.name.lower() or "KLDiv" in row.name else 0)
        case Const(value="sum"):
            return Loss((LossTerm(replace(site, reduction=Reduction.SUM)),))
        case Const(value="mean" | "batchmean"):
            return Loss((LossTerm(replace(site, reduction=Reduction.MEAN)),))
        case _:
            return Loss((LossTerm(replace(site, reduction=Reduction.UNKNOWN, confidence=Confidence.POSSIBLE)),))


def _site(
    call: Call, row: LossRow, built: Built | None, labels: Value | None, logits: Value | None, place: Place
) -> LossSite:
    level = {"token": Level.TOKEN, "sample": Level.SAMPLE}.get(row.level, Level.UNKNOWN)
    tensors = [value for value in (labels, logits) if isinstance(value, Tensor)]
    if row.level == "shape" and any(tensor.shifted or tensor.flat for tensor in tensors):
        level = Level.TOKEN
    if any(tensor.per_sample for tensor in tensors):
        level = Level.SAMPLE
    ignore = built.argument(None, "ignore_index") if built else call.argument(None, "ignore_index")
    target = labels if isinstance(labels, Tensor) else None
    named = target is not None and target.kind is TensorKind.LABELS and target.from_batch
    ragged = target.ragged if target else ()
    ignore_text = _text_of(ignore) if ignore is not None else (str(row.ignore_index) if row.ignore_index else None)
    if ignore is not None and _is_padding(ignore):
        ragged = (*ragged, Step(f"targets equal to `{ignore_text}` do not count", place.path, place.span))
    if ignore is not None and level is Level.UNKNOWN:
        level = Level.TOKEN  # a whole sample is never ignored
    node = call.argument_node(row.labels, "target", "labels", "targets")
    return LossSite(
        row.name,
        Reduction.NONE,
        level,
        place,
        place,
        Confidence.CERTAIN,
        ignore_index=ignore_text,
        shifted=any(tensor.shifted for tensor in tensors) or None,
        labels=ast.unparse(node) if node is not None else None,
        labels_from=target.origin if target else "",
        weighted=_is_weighted(built, call),
        ragged=ragged,
        equal=target.equal if target else (),
        constructor=built.place if built else None,
        scope=call.frame.name,
        depth=len(call.frame.loops),
        named_labels=named,
        explicit_ignore=ignore is not None,
    )


def _is_weighted(built: Built | None, call: Call) -> bool:
    weight = built.argument(0, "weight") if built else call.argument(2, "weight")
    return weight is not None and weight != Const(None)


def log_probs(call: Call) -> Elements:
    """The log-probabilities of the targets: an unreduced token loss but for its sign."""
    place = call.run.place(call.frame, call.node)
    site = LossSite("log_softmax", Reduction.NONE, Level.TOKEN, place, place, Confidence.CERTAIN)
    return Elements(replace(site, scope=call.frame.name, depth=len(call.frame.loops)))


def _is_padding(value: Value) -> bool:
    """Is this ignore index the padding id, which only occurs where rows have different lengths?"""
    match value:
        case Symbol(text=text):
            return "pad" in text.lower()
        case Const(value=int() as number):
            return number >= 0
    return False


def _text_of(value: Value) -> str | None:
    match value:
        case Const(value=inner):
            return str(inner)
        case Symbol(text=text):
            return text
    return None


def guessed_loss(call: Call, name: str) -> Value:
    """A criterion that is only known by its name."""
    place = call.run.place(call.frame, call.node)
    tensors = [value for value in call.positional if isinstance(value, Tensor)]
    level = Level.TOKEN if any(tensor.shifted or tensor.flat for tensor in tensors) else Level.UNKNOWN
    ragged = tuple(step for tensor in tensors for step in tensor.ragged)
    site = LossSite(name, Reduction.UNKNOWN, level, place, place, Confidence.POSSIBLE, ragged=ragged)
    return Loss((LossTerm(site),))


def _labels_text(source: Tensor | None, passed: bool) -> str:
    if source is None or not source.origin:
        return ""
    return source.origin if passed or source.kind is TensorKind.LABELS else f'{source.origin}["labels"]'


def loss_of_super(call: Call, forwarded: bool) -> Value:
    """What the Trainer's own compute_loss returns: a sum over the count and times the ranks, or a mean without one."""
    place = call.run.place(call.frame, call.node)
    site = LossSite(
        "super().compute_loss",
        Reduction.SUM if forwarded else Reduction.MEAN,
        Level.UNKNOWN,
        place,
        place,
        Confidence.CERTAIN,
        counted=forwarded,
    )
    loss = Loss((LossTerm(site),))
    with_outputs = Items((loss, Output(Model(), loss, loss)))
    match call.argument(2, "return_outputs"):
        case Const(value=True):
            return with_outputs
        case None | Const():
            return loss
        case _:
            return choice([loss, with_outputs])


def output_of(call: Call, model: Model) -> Value:
    """What a model returns for a batch: its own loss when it was given labels."""
    unpacked = next((value for name, value in call.named if name == "**"), None)
    if isinstance(unpacked, Choice):
        return choice([_output(call, model, one) for one in unpacked.values])
    return _output(call, model, unpacked)


def _output(call: Call, model: Model, unpacked: Value | None) -> Value:
    place = call.run.place(call.frame, call.node)
    labels = call.argument(None, "labels")
    if isinstance(unpacked, Table):
        labels = dict(unpacked.entries).get("labels", labels)
    batch = (unpacked, *call.positional)
    whole = [one for one in batch if isinstance(one, Tensor) and one.kind in (TensorKind.BATCH, TensorKind.LABELS)]
    source = labels if isinstance(labels, Tensor) else (whole[0] if whole else None)
    count = call.argument(None, "num_items_in_batch")
    has_loss = labels is not None or any(name == "**" for name, _ in call.named) or bool(call.positional)
    if not has_loss:
        return Output(model, UNKNOWN, UNKNOWN)
    site = LossSite(
        f"{ast.unparse(call.node.func)}'s own loss",
        Reduction.SUM if isinstance(count, Count) else Reduction.MEAN,
        model.level,
        place,
        place,
        Confidence.LIKELY,
        labels=source.text if source else None,
        labels_from=_labels_text(source, labels is not None),
        shifted=model.shifts,
        ragged=source.ragged if source else (),
        equal=source.equal if source else (),
        counted=isinstance(count, Count),
        scope=call.frame.name,
        depth=len(call.frame.loops),
        named_labels=True,
    )
    loss = Loss((LossTerm(site),))
    return Output(model, loss, loss)


__all__ = ["element_of", "guessed_loss", "loss_of", "method", "output_of", "reduce", "subscript"]
