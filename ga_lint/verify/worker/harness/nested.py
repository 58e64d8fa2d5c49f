"""`inputs["forget"]["input_ids"]`: a batch inside the batch, known by what is asked of it.

An item whose name says nothing is a stand-in like any other, until the code asks it for what batches hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard

from ga_lint.verify.worker.harness.data import Batch, variant
from ga_lint.verify.worker.harness.stand_ins import Recorder, Unknown

_HELD = frozenset({"input_ids", "labels", "label", "attention_mask", "loss_mask", "position_ids", "token_type_ids"})
_SHARED = frozenset({"to", "cuda", "copy", "detach"})  # give back a batch like this one


class Nested(Unknown):
    """An unknown item of a batch: other rows of the same shape, where it turns out to be a batch."""

    def __init__(self, name: str, recorder: Recorder, around: Batch) -> None:
        super().__init__(name, recorder)
        number = around.nested.setdefault(name.rpartition(".")[2], len(around.nested))
        self.__dict__["_batch"] = variant(around, number)

    def _held(self) -> Batch:
        Batch.apart = True
        self._recorder.assume(f"`{self._name}` is a batch of its own")
        batch: Batch = self.__dict__["_batch"]
        return batch

    def _part(self, name: str) -> object:
        return Nested(name, self._recorder, self.__dict__["_batch"])

    def __getattr__(self, attribute: str) -> object:
        if attribute in _HELD:
            return self._held()[attribute]
        if attribute in _SHARED:
            return lambda *_, **__: self
        return super().__getattr__(attribute)

    def __getitem__(self, key: object) -> object:
        return self._held()[key] if _is_held(key) else super().__getitem__(key)

    def get(self, key: object = None, default: object = None, **_: object) -> object:
        return self._held().get(key, default) if _is_held(key) else super().get(key, default)

    pop = get

    def keys(self) -> Any:
        return self._held().keys()

    def items(self) -> Iterable[Any]:
        return self._held().items()

    def values(self) -> Iterable[Any]:
        return self._held().values()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held())

    def __contains__(self, key: object) -> bool:
        return _is_held(key)


def _is_held(key: object) -> TypeGuard[str]:
    return isinstance(key, str) and key in _HELD
