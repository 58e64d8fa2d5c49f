"""What do people hand to transformers' Trainer? Random loss functions, models and training steps, one for each number.

`build(config, dataset, collator)` returns the Trainer; the loss is that of a causal model, with the shift in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from textwrap import indent

COUNT = "num_items_in_batch"
_SHIFTED = "shift_logits, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()\n"
_CE = "F.cross_entropy(shift_logits, targets, ignore_index=-100"
_PLAIN = {  # of `logits` and `labels`, without a count
    "mean": f"{_SHIFTED}loss = {_CE})",
    "criterion": f"{_SHIFTED}loss = nn.CrossEntropyLoss()(shift_logits, targets)",
    "masked": f'{_SHIFTED}losses = {_CE}, reduction="none")\nmask = (targets != -100).to(losses.dtype)\n'
    "loss = (losses * mask).sum() / mask.sum()",
    "selected": f'{_SHIFTED}losses = {_CE}, reduction="none")\nloss = losses[targets != -100].mean()',
    "over its own": f'{_SHIFTED}loss = {_CE}, reduction="sum") / (targets != -100).sum()',
    "transformers'": "loss = ForCausalLMLoss(logits, labels, logits.size(-1))",
    "padded": "targets = F.pad(labels, (0, 1), value=-100)[..., 1:]\n"
    "loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)",
}
_COUNTED = {
    "over the count": f'{_SHIFTED}loss = {_CE}, reduction="sum") / {COUNT}',
    "guarded": f'{_SHIFTED}reduction = "sum" if {COUNT} is not None else "mean"\n'
    f'loss = {_CE}, reduction=reduction)\nif reduction == "sum":\n    loss = loss / {COUNT}',
    "two branches": f"{_SHIFTED}if {COUNT} is None:\n    loss = {_CE})\nelse:\n"
    f'    loss = {_CE}, reduction="sum") / {COUNT}',
    "each over the count": f'{_SHIFTED}losses = {_CE}, reduction="none")\nloss = losses.sum() / {COUNT}',
    "times its own": f"{_SHIFTED}loss = {_CE}) * (targets != -100).sum() / {COUNT}",
    "times its unshifted": f"{_SHIFTED}loss = {_CE}) * (labels != -100).sum() / {COUNT}",
    "transformers', counted": f"loss = ForCausalLMLoss(logits, labels, logits.size(-1), {COUNT}={COUNT})",
}
_AFTER = ("", "", "", "loss = loss * PartialState().num_processes")
_HEAD = """import torch
import torch.nn.functional as F
from accelerate import PartialState
from torch import nn
from transformers import LlamaForCausalLM, LlamaModel, PreTrainedModel, Trainer, TrainingArguments
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.modeling_outputs import CausalLMOutput

SHIFTS = True


"""
_BUILD = """

def build(config, dataset, collator):
    model = {model}(config)
{assigned}    args = TrainingArguments("out", gradient_accumulation_steps=4{more})
    return {trainer}(model=model, args=args, train_dataset=dataset, data_collator=collator{handed})
"""
_MODEL = """class OwnForCausalLM(PreTrainedModel):
{flag}    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, labels=None{signature}):
        hidden = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.lm_head(hidden)
        loss = None
        if labels is not None:
{loss}
        return {returned}
"""
_RETURNED = (
    "CausalLMOutput(loss=loss, logits=logits)",
    '{"loss": loss, "logits": logits}',
)
_HEADS_OWN = {  # of a model, whose own loss function counts what it is told
    "handed on": "loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)",
    "not handed on": "loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)",
}
_STEPS = {
    "super": "return super().training_step(model, inputs)",
    "super, counted": f"return super().training_step(model, inputs, {COUNT})",
    "super, by name": f"loss = super().training_step(model, inputs, {COUNT}={COUNT})\nreturn loss",
}
_OWN_STEPS = {
    "computed": "loss = self.compute_loss(model, inputs)",
    "counted": f"loss = self.compute_loss(model, inputs, {COUNT}={COUNT})",
    "the model's": "loss = model(**inputs).loss",
}
_STEP_DIVISIONS = (
    "",
    "loss = loss / self.args.gradient_accumulation_steps",
    "loss = loss / self.current_gradient_accumulation_steps",
    f"if {COUNT} is None:\n    loss = loss / self.current_gradient_accumulation_steps",
    "if not self.model_accepts_loss_kwargs:\n    loss = loss / self.args.gradient_accumulation_steps",
)
_STEP = """model.train()
inputs = self._prepare_inputs(inputs)
with self.compute_loss_context_manager():
    {loss}
{division}
{backward}
return loss.detach()"""


@dataclass(frozen=True)
class Built:
    text: str
    made_of: tuple[str, ...]


def built(number: int) -> Built:
    """The one of this number, always the same."""
    chance = random.Random(number)
    kind = chance.choice([_function, _assigned, _forward, _forward, _training_step])
    body, made_of, parts = kind(chance)
    more = chance.choice(["", "", "", ", average_tokens_across_devices=False", ", average_tokens_across_devices=True"])
    parts = {"model": "LlamaForCausalLM", "trainer": "Trainer", "assigned": "", "handed": ""} | parts
    return Built(_HEAD + body + _BUILD.format(more=more, **parts), (kind.__name__.strip("_"), *made_of, more))


def _body(chance: random.Random, *, counts: bool) -> tuple[str, str, str]:
    """The loss of logits and labels, what it is called, and what is done to it."""
    losses = _PLAIN | _COUNTED if counts else _PLAIN
    loss, after = chance.choice(list(losses)), chance.choice(_AFTER)
    return f"{losses[loss]}\n{after}".strip(), loss, after


def _function(chance: random.Random) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """A `compute_loss_func`."""
    signature = chance.choice([f"outputs, labels, {COUNT}=None"] * 2 + ["outputs, labels, **kwargs"])
    body, loss, after = _body(chance, counts=COUNT in signature)
    logits = chance.choice(["outputs.logits", 'outputs["logits"]'])
    text = f"def loss_of({signature}):\n    logits = {logits}\n{indent(body, '    ')}\n    return loss\n"
    return text, (signature, loss, after), {"handed": ", compute_loss_func=loss_of"}


def _assigned(chance: random.Random) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """What becomes a model's `loss_function`."""
    first = "logits, labels, vocab_size"
    signature = chance.choice([f"{first}, {COUNT}=None, **kwargs", f"{first}, **kwargs"])
    body, loss, after = _body(chance, counts=COUNT in signature)
    text = f"def loss_of({signature}):\n{indent(body, '    ')}\n    return loss\n"
    return text, (signature, loss, after), {"assigned": "    model.loss_function = loss_of\n"}


def _forward(chance: random.Random) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """A model with a loss of its own."""
    signature = chance.choice(["", ", **kwargs", f", {COUNT}=None", f", {COUNT}=None, **kwargs"])
    flag = chance.choice(["", "", "accepts_loss_kwargs = True", "accepts_loss_kwargs = False"])
    body, loss, after = _body(chance, counts=COUNT in signature)
    if signature == ", **kwargs" and chance.random() < 0.5:
        loss, after = chance.choice(list(_HEADS_OWN)), ""
        body = _HEADS_OWN[loss]
    flagged = f"    {flag}\n\n" if flag else ""
    returned = chance.choice(_RETURNED)
    text = _MODEL.format(flag=flagged, signature=signature, loss=indent(body, " " * 12), returned=returned)
    return text, (signature, loss, after, flag, returned[:3]), {"model": "OwnForCausalLM"}


def _training_step(chance: random.Random) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """A Trainer whose step is its own."""
    signature = chance.choice([f"self, model, inputs, {COUNT}=None"] * 2 + ["self, model, inputs, *args, **kwargs"])
    named = {key: text for key, text in (_STEPS | _OWN_STEPS).items() if COUNT in signature or COUNT not in text}
    step = chance.choice(list(named))
    division = ""
    body = named[step]
    if step in _OWN_STEPS:
        division = chance.choice([each for each in _STEP_DIVISIONS if COUNT in signature or COUNT not in each])
        backward = chance.choice(["self.accelerator.backward(loss)"] * 2 + ["loss.backward()"])
        body = _STEP.format(loss=body, division=division, backward=backward).replace("\n\n", "\n")
    text = f"class OwnTrainer(Trainer):\n    def training_step({signature}):\n{indent(body, ' ' * 8)}\n"
    return text, (signature, step, division), {"trainer": "OwnTrainer"}
