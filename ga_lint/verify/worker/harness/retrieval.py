"""A trainer of an encoder hands its batch to a model of its own, which alone knows the loss. What hangs on that?

The stand-in's loss is a mean over examples, or compares each example with the others of its micro-batch. Whether the
trainer is right for both is what can be found out without the model.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ga_lint.verify.runs import IN_BATCH
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.data import VOCABULARY, Batch, variant
from ga_lint.verify.worker.harness.models import Output
from ga_lint.verify.worker.harness.nested import Nested
from ga_lint.verify.worker.reading.sources import Function

TOLD = "the model is an encoder with a loss of its own, here a mean over examples; the batch has no labels at its top"
_NAMES = re.compile(r"Embed|Retriev|Rerank|Bi-?Encoder|BiTrainer|Tevatron|Splade|DPR|Colbert", re.IGNORECASE)
_WIDTH = 12


def is_retrieval(owner: ast.ClassDef, functions: Sequence[Function]) -> bool:
    """Whether the class trains an encoder, asks nothing for labels, and takes the loss that its model gives."""
    text = "\n".join(ast.unparse(function) for function in functions)
    asks_above = re.search(r"super\(.*?\)\.compute_loss\(", text)
    speaks = _NAMES.search(owner.name) or re.search(r"model\(query=", text)
    return bool(speaks) and "labels'" not in text and not asks_above and "model(" in text


class Encoder(nn.Module):
    """Mean-pooled embeddings of the batches that it is called with, and a loss over them."""

    def __init__(self, setting: str, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        table = torch.randn(VOCABULARY, _WIDTH, generator=generator, dtype=dtype)
        self.embedding = nn.Embedding(VOCABULARY, _WIDTH, dtype=dtype)
        self.project = nn.Linear(_WIDTH, _WIDTH, bias=False, dtype=dtype)
        with torch.no_grad():
            self.embedding.weight.copy_(table)
            self.project.weight.copy_(torch.randn(_WIDTH, _WIDTH, generator=generator, dtype=dtype) * 0.4)
        self.in_batch = setting == IN_BATCH

    def forward(self, *args: Any, **kwargs: Any) -> Output:
        batches = list(_batches((*args, *kwargs.values())))
        if not batches and "input_ids" in kwargs:
            batches = [Batch(kwargs)]
        if not batches:
            raise NotVerifiable("needs a model that is called with batches of token ids")
        given = batches[1] if len(batches) > 1 else variant(batches[0], 1)
        queries = self._encoded(batches[0])
        passages = torch.cat([self._encoded(given), self._encoded(variant(given, 2))])  # each has a wrong one, too
        scores = queries @ passages.T  # (batch, passages)
        right = scores.diagonal()
        loss = F.cross_entropy(scores, torch.arange(len(scores))) if self.in_batch else -F.logsigmoid(right).mean()
        return Output(loss=loss, scores=scores, q_reps=queries, p_reps=passages)

    def _encoded(self, batch: Batch) -> torch.Tensor:
        mask = batch["attention_mask"][..., None]
        return torch.tanh(self.project((self.embedding(batch["input_ids"]) * mask).sum(1) / mask.sum(1)))


def _batches(values: Sequence[Any]) -> Iterator[Batch]:
    for given in values:
        value = given._held() if isinstance(given, Nested) else given
        if isinstance(value, dict) and "input_ids" in value:
            yield Batch(value)
