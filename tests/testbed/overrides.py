"""Which `compute_loss` do people write? A random override for each number, on transformers' Trainer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from textwrap import indent

COUNT = "num_items_in_batch"
_SIGNATURES = (
    f"self, model, inputs, return_outputs=False, {COUNT}=None",
    f"self, model, inputs, {COUNT}=None, return_outputs=False",
    f"self, model, inputs, return_outputs=False, {COUNT}=None, **kwargs",
    "self, model, inputs, return_outputs=False, **kwargs",
    "self, model, inputs, return_outputs: bool = False, *args, **kwargs",
    "self, model, inputs, return_outputs=False",
)
_RETURNS = (
    "return (loss, outputs) if return_outputs else loss",
    "if return_outputs:\n    return loss, outputs\nreturn loss",
    "return loss if not return_outputs else (loss, outputs)",
)
_SHIFTED = """logits = outputs.logits
shift_logits = logits[..., :-1, :].contiguous()
shift_labels = labels[..., 1:].contiguous()
"""
_FLAT = "shift_logits.view(-1, shift_logits.size(-1)), shift_labels.view(-1)"
_OWN = f'labels = inputs["labels"]\noutputs = model(**inputs)\n{_SHIFTED}'
_EACH = 'losses = F.cross_entropy(shift_logits.transpose(1, 2), shift_labels, reduction="none")\n'
LOSSES = {
    "super": "loss, outputs = super().compute_loss(model, inputs, return_outputs=True)",
    "super, by position": "loss, outputs = super().compute_loss(model, inputs, True)",
    "super, counted": f"loss, outputs = super().compute_loss(model, inputs, return_outputs=True, {COUNT}={COUNT})",
    "the model's own": "outputs = model(**inputs)\nloss = outputs.loss",
    "its first element": "outputs = model(**inputs)\nloss = outputs[0]",
    "of either kind": 'outputs = model(**inputs)\nloss = outputs["loss"] if isinstance(outputs, dict) else outputs[0]',
    "cross-entropy": f"{_OWN}loss = F.cross_entropy({_FLAT})",
    "labels taken out": f'labels = inputs.pop("labels")\noutputs = model(**inputs)\n{_SHIFTED}'
    f"loss = F.cross_entropy({_FLAT}, ignore_index=-100)",
    "a criterion": f"{_OWN}criterion = nn.CrossEntropyLoss()\nloss = criterion({_FLAT})",
    "masked": f"{_OWN}mask = (shift_labels != -100).to(shift_logits.dtype)\n{_EACH}"
    "loss = (losses * mask).sum() / mask.sum()",
    "selected": f"{_OWN}{_EACH}loss = losses[shift_labels != -100].mean()",
    "a sum over the count": f'{_OWN}loss = F.cross_entropy({_FLAT}, reduction="sum") / {COUNT}',
    "a sum over its own": f'{_OWN}loss = F.cross_entropy({_FLAT}, reduction="sum")\n'
    "loss = loss / (shift_labels != -100).sum()",
    "either": f'{_OWN}reduction = "mean" if {COUNT} is None else "sum"\n'
    f"loss = F.cross_entropy({_FLAT}, reduction=reduction)\nif {COUNT} is not None:\n    loss = loss / {COUNT}",
    "a helper's": 'outputs = model(**inputs)\nloss = self.token_loss(outputs.logits, inputs["labels"])',
    "a helper's, counted": "outputs = model(**inputs)\n"
    f'loss = self.token_loss(outputs.logits, inputs["labels"], {COUNT})',
}
RANKS = "loss = loss * self.accelerator.num_processes"
AFTERWARDS = (
    "",
    "",
    "loss = loss / self.args.gradient_accumulation_steps",
    "self.last_loss = loss.item()",
    "if self.args.n_gpu > 1:\n    loss = loss.mean()",
    RANKS,
    f"if self.args.average_tokens_across_devices and {COUNT} is not None:\n    {RANKS}",
)
_ON_CLASS = "    model_accepts_loss_kwargs = False\n\n"
_IN_INIT = """    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False

"""
_HEAD = """import torch
import torch.nn.functional as F
from torch import nn
from transformers import Trainer


class SftTrainer(Trainer):
"""
_HELPER = """
    def token_loss(self, logits, labels, count=None):
        logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        if count is None:
            return F.cross_entropy(logits, labels, ignore_index=-100)
        return F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / count
"""


@dataclass(frozen=True)
class Override:
    text: str
    made_of: tuple[str, ...]


def override(number: int) -> Override:
    """The override of this number, always the same."""
    chance = random.Random(number)
    signature, returned = chance.choice(_SIGNATURES), chance.choice(_RETURNS)
    loss, after = chance.choice(list(LOSSES)), chance.choice(AFTERWARDS)
    flag = chance.choice(["", "", "", _ON_CLASS, _IN_INIT])
    if COUNT in LOSSES[loss] + after and COUNT not in signature:
        signature = _SIGNATURES[0]
    body = "\n".join(filter(None, (LOSSES[loss], after, returned)))
    text = f"{_HEAD}{flag}    def compute_loss({signature}):\n{indent(body, ' ' * 8)}\n{_HELPER}"
    return Override(text, (loss, signature, after, flag))
