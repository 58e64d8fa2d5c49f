"""What is a trainer's batch, and what does its model end in? Read from the class and its file, or an adapter's."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from ga_lint.verify.runs import HEAD_GUESSED, IN_BATCH, NO_LABELS, OTHER_HEAD, PER_EXAMPLE
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.harness.llamas import tiny_llama
from ga_lint.verify.worker.harness.pairs import NONE, OPTIONAL, Pairs, pairs_of
from ga_lint.verify.worker.harness.retrieval import TOLD, Encoder, is_retrieval
from ga_lint.verify.worker.reading.heads import UNSHIFTED_GUESSED, heads_of, shifts_nothing
from ga_lint.verify.worker.reading.reached import reached
from ga_lint.verify.worker.reading.sources import Function, Module
from ga_lint.verify.worker.subjects import Context

# Whether the Trainer counts, and so whether it divides, hangs on the batch's labels; contrastive losses have none.
_TALKS_OF_LABELS = re.compile(
    r"label|vocab|input_ids|causal|language.?model|-100|logits|\bSFT|fine.?tun|\bLLM|instruct|ForSequence",
    re.IGNORECASE,
)
_WITHOUT_LABELS = re.compile(r"Embed|Retriev|Rerank|BiEncoder|Biencoder|Contrast|SimCSE|Reward|DPO|KTO|PPO|GRPO|ORPO")
_GIVES = {
    "score": "gives each row one score",
    "value": "gives logits, a loss, and a value for each position",
    "causal": "is a causal language model",
}


class Batches:
    """The batches of one class. `doubts`: settings besides the usual ones, where the code leaves something open."""

    def __init__(self, context: Context, module: Module, owner: ast.ClassDef) -> None:
        self._context, self._module = context, module
        self.doubts: list[str] = []
        functions = reached(module, owner) if context.adapter is None else []
        self._pairs = pairs_of(functions)
        self._is_retrieval = self._pairs is None and is_retrieval(owner, functions)
        if context.adapter is None and self._pairs is None and not self._is_retrieval:
            _require_labels(module, owner)
        self._keys = sorted(_batch_keys(owner))
        self._main_head = self._named_head(functions)
        self._ignore = data.PAD if any(map(_ignores_pads, ast.walk(owner))) else data.IGNORE

    @property
    def is_uncounted(self) -> bool:
        """Whether the batch has no labels at its top, so that the Trainer counts nothing and divides itself."""
        return self._is_retrieval or (self._pairs is not None and self._pairs.labels == NONE)

    def model(self, setting: str) -> Any:
        """The model that stands in for the user's, or is an adapter's."""
        adapter, job, dtype = self._context.adapter, self._context.job, self._context.dtype
        if adapter is not None and adapter.make_model is not None:
            return adapter.model(dtype, job.seed)
        if self._is_retrieval:
            return Encoder(setting, dtype, job.seed)
        return tiny_llama(self.head(setting), dtype, job.seed)

    def head(self, setting: str) -> str:
        """What the model ends in."""
        if setting.startswith(OTHER_HEAD):
            return setting.removeprefix(OTHER_HEAD)
        return "sequence" if setting == PER_EXAMPLE else self._main_head

    def collate(self, chosen: Sequence[data.Row], setting: str) -> Any:
        adapter = self._context.adapter
        if adapter is not None and adapter.make_batch is not None:
            return adapter.batch(chosen)
        head = self.head(setting)
        if self._pairs is not None:
            return self._pairs.collate(chosen, head, with_labels=setting != NO_LABELS)
        batch = data.collate(chosen, head, self._ignore)
        if self._is_retrieval:
            del batch["labels"]
            return batch
        return data.add_derived(batch, self._keys)

    def _named_head(self, functions: Sequence[Function]) -> str:
        if self._context.adapter is not None:
            return "causal"
        if self._is_retrieval:
            self._context.recorder.assume(TOLD)
            self.doubts.append(IN_BATCH)
            return "causal"
        heads = heads_of(self._module.text)
        if self._pairs is not None:
            return self._head_of_pairs(self._pairs, heads)
        if not heads:
            unshifted = shifts_nothing("\n".join(map(ast.unparse, functions)))
            self._context.recorder.assume(UNSHIFTED_GUESSED if unshifted else HEAD_GUESSED)
            self.doubts.append(PER_EXAMPLE)
            return "unshifted" if unshifted else "causal"
        self.doubts += [f"{OTHER_HEAD}{head}" for head in heads[1:]]
        return heads[0]

    def _head_of_pairs(self, pairs: Pairs, named: Sequence[str]) -> str:
        head, recorder = pairs.head(named), self._context.recorder
        recorder.assume(pairs.told())
        recorder.assume(f"the model {_GIVES[head]}")
        if pairs.labels == OPTIONAL:
            self.doubts.append(NO_LABELS)
        return head


def _require_labels(module: Module, owner: ast.ClassDef) -> None:
    if _WITHOUT_LABELS.search(owner.name) or not _TALKS_OF_LABELS.search(module.text):
        raise NotVerifiable(f"needs the batch of `{owner.name}`: nothing says that it has labels (line {owner.lineno})")


def _ignores_pads(node: ast.AST) -> bool:
    """Whether a loss is told to leave out the padding by its id: the labels hold no -100 then."""
    return isinstance(node, ast.keyword) and node.arg == "ignore_index" and "pad_token_id" in ast.unparse(node.value)


def _batch_keys(owner: ast.ClassDef) -> set[str]:
    """The keys that the class takes from a batch without a default of its own."""
    found: set[str] = set()
    for node in ast.walk(owner):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                found.add(key)
            case ast.Call(func=ast.Attribute(attr="pop"), args=[ast.Constant(value=str(key))]):
                found.add(key)
    return found
