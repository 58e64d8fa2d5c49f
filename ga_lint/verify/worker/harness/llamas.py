"""Which model stands in for that of a trainer? A real one-layer Llama, with the head that the code names."""

from __future__ import annotations

from functools import cache
from typing import Any, NoReturn

import torch
from torch import nn

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.data import CLASSES, LONGEST, PAD, VOCABULARY


@cache
def _with_values() -> type:
    """A language model with a value head beside its own, as TRL's: (logits, loss, values)."""
    from transformers import LlamaForCausalLM

    class WithValues(LlamaForCausalLM):  # type: ignore[no-untyped-call]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.v_head = nn.Linear(config.hidden_size, 1)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **{**kwargs, "output_hidden_states": True, "return_dict": True})
            return output.logits, output.loss, self.v_head(output.hidden_states[-1]).squeeze(-1)

    return WithValues


def tiny_llama(head: str, dtype: torch.dtype, seed: int) -> Any:
    """For trainers: a real one-layer Llama with that head."""
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        LlamaForQuestionAnswering,
        LlamaForSequenceClassification,
        LlamaForTokenClassification,
    )

    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2 * LONGEST,
        "pad_token_id": PAD,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "num_labels": 1 if head == "score" else CLASSES,
        "attn_implementation": "eager",
        "initializer_range": 0.3,
    }
    classes: dict[str, Any] = {
        "sequence": LlamaForSequenceClassification,
        "score": LlamaForSequenceClassification,
        "token": LlamaForTokenClassification,
        "span": LlamaForQuestionAnswering,
    }
    model = classes.get(head, _with_values() if head == "value" else LlamaForCausalLM)(LlamaConfig(**options))
    if head == "unshifted":
        model.loss_type = "ForMaskedLM"  # it neither shifts the labels nor has the Trainer count them shifted
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    model.config.pad_token_id = PAD
    model.generate = _generate
    return model


def _generate(*_: Any, **__: Any) -> NoReturn:
    """Texts drawn at random are others for each cut of a batch, and greedy ones take longer than all else."""
    raise NotVerifiable("needs the texts that its model generates while it trains")
