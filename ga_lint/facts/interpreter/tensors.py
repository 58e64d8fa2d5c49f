"""What do the methods of tensors, losses and counts give? Reductions and shapes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import (
    algebra,
    containers,
    cross_entropies,
    loss_methods,
    losses,
    masks,
    picked,
    raw_losses,
)
from ga_lint.facts.interpreter.elements import entry, tells_length
from ga_lint.facts.interpreter.remade import as_written, filled, mask_of, targets_of
from ga_lint.facts.model import Divisor, Level, Reduction
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Const,
    Count,
    Elements,
    Instance,
    Items,
    Loss,
    Many,
    Model,
    Output,
    Product,
    Scale,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

_SAME_OBJECT = frozenset(
    "to cuda cpu train eval half float double bfloat16 requires_grad_ compile to_empty xpu npu".split()
)
_SHAPES = frozenset("view reshape flatten transpose permute contiguous float log_softmax softmax squeeze to".split())
_COUNT_STAYS = frozenset(
    "sum item clamp clamp_min float to long int cuda max clone detach type_as maximum double view reshape unsqueeze "
    "squeeze cpu type tolist mean".split()
)
_ALL_BUT_ROWS = re.compile(r"((list|tuple)\()?range\(1,")  # of `dim=list(range(1, len(x.shape)))`
_CLASSES = ("num_labels", "num_classes", "n_classes", "nclass", "num_class")


def method(call: Call, receiver: Value) -> Value | None:
    """The value of a method of a tensor, a loss, a count or a batch; None when it is not one of theirs."""
    name = call.method
    if isinstance(receiver, Model | Instance | Built) and name in _SAME_OBJECT:
        return None if isinstance(receiver, Instance) and _does_it_itself(call, receiver, name) else receiver
    if name == "scale" and call.positional:  # GradScaler undoes it before the step
        return call.positional[0]
    if isinstance(receiver, Output):
        if name not in _SHAPES:
            return _output_method(call, receiver, name)
        receiver = Tensor(TensorKind.LOGITS, "logits")
    match receiver:
        case Loss():
            return loss_methods.method(call, receiver, name)
        case Elements():
            return _elements_method(call, receiver, name)
        case Count():
            return _count_method(receiver, name)
        case Product():
            return receiver if name in _COUNT_STAYS else UNKNOWN
        case Tensor():
            return cross_entropies.after_step(call, receiver, name, given=0) or _tensor_method(call, receiver, name)
        case Table() | Items() | Many():
            return containers.method(call, receiver, name)
        case Unknown() | Symbol() if name in ("get", "pop") and call.positional:
            return containers.guessed_entry(call)
        case Unknown() | Symbol():
            return _unknown_method(call, name)
    return None


def _does_it_itself(call: Call, receiver: Instance, name: str) -> bool:
    """`trainer.train()`: a method of a class that is no network, and so means something else than torch's does."""
    methods = call.run.names.method
    return methods(receiver.cls, name) is not None and methods(receiver.cls, "forward") is None


def _output_method(call: Call, output: Output, name: str) -> Value | None:
    if name == "mean" and call.argument(0, "dim", "axis") == Const(1):  # over the positions of each row
        return Tensor(TensorKind.OTHER, text_of(call.node), per_sample=True)
    if name == "mean":
        return output.first
    return UNKNOWN if name == "sum" else None


def _elements_method(call: Call, elements: Elements, name: str) -> Value:
    if name in ("detach", "item", "tolist", "numpy", "size", "dim"):
        return UNKNOWN
    if name in ("sum", "mean"):
        axes = call.argument_node(0, "dim", "axis")
        if axes is not None and _ALL_BUT_ROWS.match(text_of(axes)):
            return replace(elements, inner=0, site=replace(elements.site, level=Level.SAMPLE))
        return reduce(call, elements, name, call.argument(0, "dim", "axis"))
    if name in ("mul", "mul_", "masked_select", "masked_fill", "masked_fill_") and call.positional:
        text = text_of(call.written[0])
        if masks.is_mask(call.positional[0], text):
            if "fill" in name:  # what the mask selects is what does not count
                text = text[1:] if text.startswith("~") else f"not {text}"
            masked = masks.masked(elements, call.positional[0], text, call.run.place(call.frame, call.node))
            if name.endswith("_"):  # `nll_loss.masked_fill_(pad_mask, 0.0)` alone on its row
                call.state.env[call.receiver_text] = masked
            return masked
    return elements


def selected(call: Call, elements: Elements, mask: Value, text: str) -> Elements:
    """`torch.masked_select(losses, mask)`: only the elements that the mask picks."""
    if not masks.is_mask(mask, text):
        return elements
    return masks.masked(elements, mask, text, call.run.place(call.frame, call.node))


def reduce(call: Call, elements: Elements, name: str, axis: Value | None) -> Value:
    """`.sum()`, `.mean()`, over all or along one axis."""
    reduction = Reduction.SUM if name == "sum" else Reduction.MEAN
    place = call.run.place(call.frame, call.node)
    match axis:
        case None | Const(value=None):
            return algebra.reduced(elements, reduction, place)
        case Const(value=int() as number):
            return algebra.along_axis(elements, number, reduction, place)
        case Items(values=axes) if len(axes) > 1 and Const(0) not in axes:
            return replace(elements, inner=0, site=replace(elements.site, level=Level.SAMPLE))
        case Items(values=axes) if len(axes) > 1:
            return algebra.reduced(elements, reduction, place)
        case _:
            return algebra.along_axis(elements, None, reduction, place)


def _count_method(count: Count, name: str) -> Value:
    return count if name in _COUNT_STAYS else UNKNOWN


def count_of(call: Call, mask: Tensor) -> Count:
    """`mask.sum()`, `torch.count_nonzero(mask)`: how many elements it picks in this micro-batch."""
    text, depth, place = text_of(call.node), len(call.frame.loops), call.run.place(call.frame, call.node)
    count = Count(mask.text, Scale.MICRO_BATCH, text=text, depth=depth, shifted=mask.shifted, place=place)
    return replace(count, divisor=Divisor(text, place), targets=targets_of(mask))


def _tensor_method(call: Call, tensor: Tensor, name: str) -> Value | None:
    text = text_of(call.node)
    place = call.run.place(call.frame, call.node)
    if name in ("get", "pop"):
        return containers.looked_up(call, tensor)
    if tensor.difference and name in raw_losses.DISTANCES and (name != "pow" or raw_losses.is_even(call.argument(0))):
        return raw_losses.distance(call.run, call.frame, call.node, tensor)
    if name in ("items", "values"):
        return Many(Items((UNKNOWN, tensor)) if name == "items" else tensor, tensor)
    if name == "sum" and masks.are_weights(tensor, call.receiver_text):
        return _whole_sum(call)
    if name in ("sum", "count_nonzero") and tensor.kind is TensorKind.MASK:
        return _picked_by(call, tensor)
    if name == "sum" and tells_length(tensor) and call.argument(0, "dim", "axis") is None:
        return count_of(call, tensor)
    if name == "numel":
        what, depth = f"{call.receiver_text}.numel()", len(call.frame.loops)
        return Count(what, Scale.MICRO_BATCH, text=text, depth=depth, shifted=tensor.shifted, place=place)
    if name in ("ne", "eq", "gt", "ge", "lt", "not_equal"):
        leaves_out = call.positional and name in ("ne", "not_equal")
        other = as_written(call.positional[0], call.written[0], call.frame.depth) if leaves_out else ""
        return mask_of(tensor, text, other)
    if name in ("masked_fill", "masked_fill_"):
        return filled(call, tensor, place)
    if name in ("view", "reshape", "flatten"):
        return _flattened(call, tensor)
    if name == "repeat_interleave" and tensor.kind is TensorKind.MASK and call.argument(1, "dim") == Const(2):
        return replace(tensor, kind=TensorKind.OTHER)  # of the patches of an image, whose number each mask is drawn for
    if name in ("transpose", "permute", "swapaxes", "mT"):
        return replace(tensor, flat=True)
    if name == "log_softmax":
        return replace(tensor, kind=TensorKind.LOG_PROBS)
    if name == "gather" and tensor.kind is TensorKind.LOG_PROBS:
        return losses.log_probs(call, tensor)
    if name == "size" and call.positional == (Const(0),) and picked.are_kept(tensor):
        return picked.number_of(call.run, call.frame, call.node, tensor, text)
    if name in ("size", "dim", "sum", "mean", "max", "amax", "argmax", "item", "tolist", "any", "all"):
        return UNKNOWN
    return tensor


def _picked_by(call: Call, mask: Tensor) -> Value:
    """`mask.sum()`: a count, or one for each sample."""
    axis = call.argument(0, "dim", "axis")
    per_sample = isinstance(axis, Const) and isinstance(axis.value, int) and axis.value != 0
    return UNKNOWN if per_sample else count_of(call, mask)


def _flattened(call: Call, tensor: Tensor) -> Tensor:
    text = " ".join(text_of(argument) for argument in call.written)
    if any(word in text for word in _CLASSES):
        return tensor
    many = len(call.written) > 1
    return replace(tensor, flat=tensor.flat or (many and tensor.kind is not TensorKind.LABELS))


def _whole_sum(call: Call) -> Value:
    """`weights.sum()`: what stands for the count of this micro-batch; the sums of single rows do not."""
    if call.argument(0, "dim", "axis") is not None:
        return UNKNOWN
    return sum_of_weights(call, call.receiver_text)


def sum_of_weights(call: Call, weights: str) -> Count:
    """The same, however the sum is written."""
    text, place = text_of(call.node), call.run.place(call.frame, call.node)
    return Count(weights, Scale.MICRO_BATCH, text=text, depth=len(call.frame.loops), place=place)


def _unknown_method(call: Call, name: str) -> Value | None:
    """Masks and counts that are only known by their names."""
    receiver = call.receiver_text
    if name == "sum" and ("mask" in receiver.lower() or masks.are_weights(UNKNOWN, receiver)):
        return _whole_sum(call)
    if name in ("to", "cuda", "contiguous", "float", "long", "clone", "view", "reshape"):
        guess = replace(entry(Tensor(TensorKind.OTHER), receiver.rpartition(".")[2]), from_batch=False)
        if guess.kind is not TensorKind.OTHER:
            return _flattened(call, guess) if name in ("view", "reshape") else guess
    return None
