"""`x, y = batch`: which parts does the code take out of a batch? Told at run time, by the names that they are given.

Every tuple target and every `for` of the sliced code passes through here, so that it does not matter over how many
helpers, files and iterators a batch reached the place where it is taken apart. Other values pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.data import Batch, derived, variant
from ga_lint.verify.worker.harness.models import Output
from ga_lint.verify.worker.harness.nested import Nested
from ga_lint.verify.worker.harness.stand_ins import Unknown

# A shape is the text of a name, or a tuple of shapes. Names of parts that the code treats as batches of their own:
OWN = "**"  # it reads the token ids of this one, too
SAME = "*"  # it reads other items of it only: labels that travel apart from the ids
Shape = Any

UNPACK, EACH, ITEM, FEED, VALUES, MOVED = (
    f"__ga_{name}__" for name in ("unpack", "each", "item", "feed", "values", "moved")
)


def unpack(value: object, shape: Shape) -> object:
    """The value as the target wants it: a batch falls apart into the parts that the target names."""
    if not isinstance(shape, tuple):
        return value
    if isinstance(value, Nested):
        value = value._held()
    if isinstance(value, Unknown):
        return tuple(unpack(value, each) for each in shape)
    if isinstance(value, Batch):
        Batch.apart = True
        return tuple(_part(value, each, place) for place, each in enumerate(shape))
    if isinstance(value, Output):
        return tuple(_result(value, each, place) for place, each in enumerate(shape))
    if isinstance(value, tuple | list) and len(value) == len(shape):
        return tuple(map(unpack, value, shape))
    return value


def each(iterable: Any, shape: Shape) -> Iterator[object]:
    for value in iterable:
        yield unpack(value, shape)


def feed(iterable: Any, shape: Shape) -> Iterator[object]:
    """The same for a loop that holds a backward: it does not run over a stand-in."""
    if isinstance(iterable, Unknown):
        iterable._void()
    return each(iterable, shape)


def item(value: Any, place: int, name: str) -> object:
    """`labels = batch[1]`, where the batch has names."""
    return _part(value, name, place) if isinstance(value, Batch) else value[place]


def values(value: Any, shape: Shape) -> Any:
    """`tuple(t.to(device) for t in batch)`: the parts, where the comprehension takes tensors out of a batch."""
    return unpack(value, shape) if isinstance(value, Batch) else value


def moved(value: Any, parts: Callable[[], Any]) -> Any:
    """The same where nothing around says what the parts are: the batch stays whole until they are taken out of it."""
    return value if isinstance(value, Batch) else parts()


PASSAGES: dict[str, object] = {
    UNPACK: unpack,
    EACH: each,
    ITEM: item,
    FEED: feed,
    VALUES: values,
    MOVED: moved,
}


def _result(output: Output, name: Shape, place: int) -> object:
    """Models returned tuples once: the part that its name tells, else the one in its place."""
    for part in ("loss", "logits"):
        if isinstance(name, str) and part.rstrip("s") in name.lower() and part in output:
            return output[part]
    parts = output.to_tuple()
    if place >= len(parts):
        raise NotVerifiable(f"needs the model's result number {place + 1}")
    return parts[place]


def _part(batch: Batch, shape: Shape, place: int) -> object:
    if isinstance(shape, tuple):
        return unpack(variant(batch, place), shape)
    if shape.startswith(OWN):
        return variant(batch, place)
    if shape.startswith(SAME):
        return batch
    found = derived(batch, shape)
    if found is not None:
        return found
    if Batch.unknown is None:
        raise NotVerifiable(f"needs the part `{shape}` of a batch")
    return Batch.unknown(f"batch.{shape}", batch)
