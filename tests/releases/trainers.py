"""The code whose losses are measured: every way in which people compute one under transformers' Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, Trainer
from transformers.modeling_outputs import CausalLMOutput

VOCAB = 61


def llama() -> nn.Module:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32, use_cache=False, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def token_loss(logits: Tensor, labels: Tensor, count: Any = None, smoothing: float = 0.0) -> Tensor:
    """The mean over the targets, or the sum over `count`."""
    logits, labels = logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten()
    reduction = "mean" if count is None else "sum"
    loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction=reduction, label_smoothing=smoothing)
    return loss if count is None else loss / count


class Own(nn.Module):
    """A model of one's own, around the stock one."""

    counts = False

    def __init__(self) -> None:
        super().__init__()
        self.inner = llama()

    def run(self, input_ids: Tensor, labels: Tensor | None, count: Any = None) -> CausalLMOutput:
        logits = self.inner(input_ids=input_ids).logits
        return CausalLMOutput(loss=None if labels is None else token_loss(logits, labels, count), logits=logits)


class Plain(Own):
    def forward(self, input_ids=None, labels=None):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels)


class Ignoring(Own):
    def forward(self, input_ids=None, labels=None, **kwargs):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels)


class IgnoringAndSaysSo(Ignoring):
    accepts_loss_kwargs = False


class Using(Own):
    def forward(self, input_ids=None, labels=None, num_items_in_batch=None, **kwargs):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels, num_items_in_batch)


class Named(Own):
    def forward(self, input_ids=None, labels=None, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels, num_items_in_batch)


class NamedAndSaysSo(Named):
    accepts_loss_kwargs = True


def override(loss: Callable[..., Tensor], key: str = "labels") -> type[Trainer]:
    """A Trainer whose compute_loss is `loss(trainer, logits, labels, count)`."""

    class Overriding(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
            labels = inputs.pop(key)
            outputs = model(**inputs)
            value = loss(self, outputs.logits, labels, num_items_in_batch)
            return (value, outputs) if return_outputs else value

    return Overriding


def mean(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    return token_loss(logits, labels)


def over_steps(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    return token_loss(logits, labels) / trainer.args.gradient_accumulation_steps


def used(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    return token_loss(logits, labels, count)


def canon(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    averages = getattr(trainer.args, "average_tokens_across_devices", False) and trainer.model_accepts_loss_kwargs
    factor = trainer.accelerator.num_processes if averages and count is not None else 1
    return token_loss(logits, labels, count) * factor


class NoParameter(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):  # type: ignore[no-untyped-def]
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        value = token_loss(outputs.logits, labels)
        return (value, outputs) if return_outputs else value


class Keywords(NoParameter):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):  # type: ignore[no-untyped-def]
        return super().compute_loss(model, inputs, return_outputs)


class ModelsLoss(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


class ModelsLossWithCount(ModelsLoss):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        counted = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
        return super().compute_loss(model, {**inputs, **counted}, return_outputs)


class SuperWithout(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        return super().compute_loss(model, inputs, return_outputs)


class SuperWith(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        return super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)


def mean_function(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return token_loss(outputs["logits"], labels)


def sum_function(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return token_loss(outputs["logits"], labels, num_items_in_batch)


def assigned(counts: bool) -> Callable[[], nn.Module]:
    def loss_function(logits, labels, vocab_size, num_items_in_batch=None, **kwargs):  # type: ignore[no-untyped-def]
        return token_loss(logits, labels, num_items_in_batch if counts else None)

    def make() -> nn.Module:
        model = llama()
        model.loss_function = loss_function
        return model

    return make


SCENARIOS: dict[str, tuple[type[Trainer], Callable[[], nn.Module], dict[str, Any]]] = {
    "default": (Trainer, llama, {}),
    "noparam": (NoParameter, llama, {}),
    "ignored": (override(mean), llama, {}),
    "kwignored": (Keywords, llama, {}),
    "over_steps": (override(over_steps), llama, {}),
    "used": (override(used), llama, {}),
    "canon": (override(canon), llama, {}),
    "outloss": (ModelsLoss, llama, {}),
    "outloss_fwd": (ModelsLossWithCount, llama, {}),
    "super_drop": (SuperWithout, llama, {}),
    "super_fwd": (SuperWith, llama, {}),
    "clf_mean": (Trainer, llama, {"compute_loss_func": mean_function}),
    "clf_sum": (Trainer, llama, {"compute_loss_func": sum_function}),
    "smooth": (Trainer, llama, {}),
    "m_nokw": (Trainer, Plain, {}),
    "m_nokw_canon": (override(canon), Plain, {}),
    "m_nokw_clf": (Trainer, Plain, {"compute_loss_func": sum_function}),
    "m_named": (Trainer, Named, {}),
    "m_namedattr": (Trainer, NamedAndSaysSo, {}),
    "m_kwign": (Trainer, Ignoring, {}),
    "m_kwignattr": (Trainer, IgnoringAndSaysSo, {}),
    "m_kwuse": (Trainer, Using, {}),
    "lossfn_mean": (Trainer, assigned(False), {}),
    "lossfn_sum": (Trainer, assigned(True), {}),
}
