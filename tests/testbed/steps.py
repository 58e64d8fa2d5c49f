"""Which `training_step` do people write for Lightning? A random one for each number, right or wrong.

`train(model, loader, optimizer, steps)` runs it under automatic optimisation.
"""

from __future__ import annotations

import random
from textwrap import indent

from testbed.ranks import Ranked

_COUNT = '(batch["labels"][:, 1:] != -100).sum()'
_LOGITS = 'logits = self.model(batch["input_ids"]).logits[:, :-1]\n'
_FLAT = 'logits.flatten(0, 1), batch["labels"][:, 1:].flatten()'
LOSSES = {
    "the model's own": "loss = self.model(**batch).loss",
    "an output's": "outputs = self.model(**batch)\nloss = outputs.loss",
    "by names": 'ids, labels = batch["input_ids"], batch["labels"]\nloss = self.model(ids, labels=labels).loss',
    "cross-entropy": f"{_LOGITS}loss = F.cross_entropy({_FLAT})",
    "a criterion": f"{_LOGITS}loss = self.criterion({_FLAT})",
    "masked": f'{_LOGITS}mask = batch["labels"][:, 1:] != -100\n'
    'losses = F.cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:], reduction="none")\n'
    "loss = (losses * mask).sum() / mask.sum()",
    "selected": f'{_LOGITS}losses = F.cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:], reduction="none")\n'
    'loss = losses[batch["labels"][:, 1:] != -100].mean()',
    "a sum over its count": f'{_LOGITS}loss = F.cross_entropy({_FLAT}, reduction="sum") / {_COUNT}',
    "a helper's": "loss = self.shared_step(batch)",
    "with a router's": "outputs = self.model(**batch)\nloss = outputs.loss + 0.25 * outputs.aux_loss",
    "a sum": f'{_LOGITS}loss = F.cross_entropy({_FLAT}, reduction="sum")\nself.counted += {_COUNT}',
}
_AFTER = (
    "",
    "",
    "",
    "loss = loss / self.trainer.accumulate_grad_batches",
    "loss = loss / self.steps",
    "loss = loss * self.trainer.world_size",
)
_LOGS = (
    "",
    'self.log("loss", loss)',
    'self.log("loss", loss.item())',
    'self.log("loss", loss.detach(), prog_bar=True)',
)
_RETURNED = ("return loss", 'return {"loss": loss}', 'return {"loss": loss, "logged": loss.detach()}')
_HOOKS = {  # of a sum: what becomes of the gradients, before the optimizer steps
    "": "",
    "rescaled": "scale = self.trainer.accumulate_grad_batches * self.trainer.world_size\n"
    "total = self.all_gather(self.counted).sum()\n",
    "of one rank": "scale = self.trainer.accumulate_grad_batches\ntotal = self.counted\n",
    "without the steps": "scale = self.trainer.world_size\ntotal = self.all_gather(self.counted).sum()\n",
}
_SCALED = "for p in self.parameters():\n    p.grad.mul_(scale / total)\nself.counted = 0"
_HEAD = """import lightning as L
import torch
import torch.nn.functional as F
from torch import nn


class LM(L.LightningModule):
    def __init__(self, model, optimizer, steps):
        super().__init__()
        self.model, self.optimizer, self.steps = model, optimizer, steps
        self.criterion = nn.CrossEntropyLoss(ignore_index=-100)
        self.counted = 0

    def configure_optimizers(self):
        return self.optimizer

    def shared_step(self, batch):
        logits = self.model(batch["input_ids"]).logits[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)

    def training_step(self, batch, batch_idx):
"""
_TAIL = """

def train(model, loader, optimizer, steps):
    trainer = L.Trainer(accumulate_grad_batches=steps)
    trainer.fit(LM(model, optimizer, steps), loader)


def main():
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq

    from data import load_rows

    model = AutoModelForCausalLM.from_pretrained("gpt2")
    tokenizer = AutoTokenizer.from_pretrained("gpt2")
    loader = DataLoader(load_rows(), batch_size=2, collate_fn=DataCollatorForSeq2Seq(tokenizer, model))
    train(model, loader, torch.optim.AdamW(model.parameters(), lr=1e-4), 4)
"""


def step(number: int) -> Ranked:
    """The module of this number, always the same."""
    chance = random.Random(number)
    loss, after, log = (chance.choice(list(parts)) for parts in (LOSSES, _AFTER, _LOGS))
    lines = [LOSSES[loss], after]
    lines.insert(chance.choice([1, 2]), log)
    lines.append(chance.choice(_RETURNED))
    text = _HEAD + indent("\n".join(filter(None, lines)), " " * 8) + "\n"
    hook = chance.choice(list(_HOOKS)) if loss == "a sum" else ""
    if hook:
        body = indent(_HOOKS[hook] + _SCALED, " " * 8)
        text += f"\n    def on_before_optimizer_step(self, optimizer):\n{body}\n"
    aux = 0.25 if "router" in loss else 0.0
    return Ranked(text + _TAIL, (loss, after, log, hook), short=True, dealt=False, aux=aux)
