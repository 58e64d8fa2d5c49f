"""Which training loops do people write? A random one for each number, with what it trains on said at its end.

Each is put together from ways to compute a token mean, to divide it, to say where a window ends, to log and to clip.
`train(model, loader, optimizer, steps, epochs)` runs it; `main`, which nobody runs, tells a reader what the model and
the micro-batches are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent

_SHIFTED = """logits = model(batch["input_ids"]).logits
labels = batch["labels"]
shift_logits = logits[..., :-1, :].contiguous()
shift_labels = labels[..., 1:].contiguous()
"""
_FLAT = "shift_logits.view(-1, shift_logits.size(-1)), shift_labels.view(-1)"
_EACH = 'losses = F.cross_entropy(shift_logits.transpose(1, 2), shift_labels, reduction="none")\n'
MEANS = {
    "the model's own": "loss = model(**batch).loss",
    "of its output": "outputs = model(**batch)\nloss = outputs.loss",
    "its first element": "loss = model(**batch)[0]",
    "by names": 'input_ids, labels = batch["input_ids"], batch["labels"]\nloss = model(input_ids, labels=labels).loss',
    "cross-entropy": f"{_SHIFTED}loss = F.cross_entropy({_FLAT}, ignore_index=-100)",
    "transposed": f"{_SHIFTED}loss = F.cross_entropy(shift_logits.transpose(1, 2), shift_labels)",
    "a criterion": f"{_SHIFTED}loss = criterion({_FLAT})",
    "masked": f"{_SHIFTED}mask = (shift_labels != -100).double()\n{_EACH}loss = (losses * mask).sum() / mask.sum()",
    "selected": f"{_SHIFTED}mask = shift_labels.ne(-100)\n{_EACH}loss = losses[mask].mean()",
    "gathered": f"{_SHIFTED}mask = shift_labels != -100\nlogp = F.log_softmax(shift_logits, dim=-1)\n"
    "token_logp = logp.gather(-1, shift_labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)\n"
    "loss = -(token_logp * mask).sum() / mask.sum().clamp(min=1)",
    "a helper's": "loss = loss_of(model, batch)",
    "a pair": "loss, logits = loss_and_logits(model, batch)",
    "a sum over its count": f'{_SHIFTED}total = F.cross_entropy({_FLAT}, reduction="sum")\n'
    "loss = total / (shift_labels != -100).sum()",
    "with a router's": "outputs = model(**batch)\nloss = outputs.loss + 0.25 * outputs.aux_loss",
    "and a router's": "outputs = model(**batch)\nloss = outputs.loss\nloss = loss + 0.25 * outputs.aux_loss",
    "a router's added": "outputs = model(**batch)\nloss = outputs.loss\naux = 0.25 * outputs.aux_loss\nloss += aux",
}
DIVISIONS = {  # what stands before backward, and what backward runs on
    "none": ("", "loss"),
    "assigned": ("loss = loss / steps", "loss"),
    "in place": ("loss /= steps", "loss"),
    "inline": ("", "(loss / steps)"),
    "inverse": ("loss = loss * (1.0 / steps)", "loss"),
    "another name": ("scaled_loss = loss / steps", "scaled_loss"),
    "guarded": ("if steps > 1:\n    loss = loss / steps", "loss"),
    "by torch": ("loss = torch.div(loss, steps)", "loss"),
    "twice": ("loss = loss / steps", "(loss / steps)"),
    "by a float": ("loss = loss / float(steps)", "loss"),
}
LOGS = {  # before the division, and after backward
    "nothing": ("", ""),
    "a sum": ("", "running += loss.item()"),
    "undivided": ("running += loss.item()", ""),
    "multiplied": ("", "running += loss.item() * steps"),
    "a tensor": ("", "running = running + loss.detach().float()"),
    "a list": ("history.append(loss.item())", ""),
    "text": ("", 'print(f"{loss.item():.3f}")'),
}
_STEP = "{clip}optimizer.step()\n{zero}"
_IF = "for step, batch in enumerate({loader}):\n{micro}\n    if {test}:\n{step2}"
_SLICES = """batches = list(loader)
for start in range(0, len(batches), steps):
    for batch in batches[start : start + steps]:
{micro2}
{step1}"""
_DRAWN = """batches = iter(loader)
for update in range(len(loader) // steps):
    for _ in range(steps):
        batch = next(batches)
{micro2}
{step1}"""
_COLLECTED = """window = []
for index, item in enumerate(loader):
    window.append(item)
    if len(window) < steps and index + 1 < len(loader):
        continue
    for batch in window:
{micro2}
{step1}
    window = []"""
_WHILE = """batches = iter(loader)
step = 0
while step < len(loader):
    batch = next(batches)
{micro}
    step += 1
    if step % steps == 0:
{step2}"""
GATES = {  # the loop, and whether it steps on a shorter last window
    "modulo": (_IF.replace("{test}", "(step + 1) % steps == 0"), False),
    "the last of them": (_IF.replace("{test}", "step % steps == steps - 1"), False),
    "flushed": (_IF.replace("{test}", "(step + 1) % steps == 0 or step + 1 == len(loader)"), True),
    "from one": (
        _IF.replace("{loader})", "{loader}, start=1)").replace("{test}", "step % steps == 0 or step == len(loader)"),
        True,
    ),
    "continued": (
        "for step, batch in enumerate({loader}):\n{micro}\n    if (step + 1) % steps:\n        continue\n{step1}",
        False,
    ),
    "counted": (
        "done = 0\nfor batch in {loader}:\n{micro}\n    done += 1\n    if done == steps:\n{step2}\n        done = 0",
        False,
    ),
    "behind": (_IF.replace("{test}", "(step + 1) % steps == 0") + "\nif len(loader) % steps != 0:\n{step1}", True),
    "slices": (_SLICES, True),
    "drawn": (_DRAWN, False),
    "collected": (_COLLECTED, True),
    "while": (_WHILE, False),
}
_HEAD = """import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm


def loss_of(model, batch):
    logits = model(batch["input_ids"]).logits
    targets = batch["labels"][:, 1:]
    return F.cross_entropy(logits[:, :-1].reshape(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-100)


def loss_and_logits(model, batch):
    outputs = model(**batch)
    return outputs.loss, outputs.logits


"""
_FUNCTION = """def train(model, loader, optimizer, steps, epochs):
    running, history = 0.0, []
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    for epoch in range(epochs):
        model.train()
        optimizer.zero_grad()
{loop}
    return running
"""
_CLASS = """class Loop:
    def __init__(self, model, loader, optimizer, steps):
        self.model = model
        self.loader = loader
        self.optimizer = optimizer
        self.steps = steps
        self.criterion = nn.CrossEntropyLoss(ignore_index=-100)

    def train(self):
        running, history = 0.0, []
        self.model.train()
{loop}
        return running


def train(model, loader, optimizer, steps, epochs):
    return Loop(model, loader, optimizer, steps).train()
"""
_MAIN = """

def main():
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq

    from data import load_rows

    model = AutoModelForCausalLM.from_pretrained("gpt2")
    tokenizer = AutoTokenizer.from_pretrained("gpt2")
    loader = DataLoader(load_rows(), batch_size=2, collate_fn=DataCollatorForSeq2Seq(tokenizer, model))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    train(model, loader, optimizer, 4, 1)
"""
_OWN = re.compile(r"\b(model|loader|optimizer|steps|criterion)\b")


@dataclass(frozen=True)
class Program:
    """A training loop; `short`: it steps on a last window that is shorter; `aux`: the coefficient of a second term."""

    text: str
    made_of: tuple[str, ...]
    short: bool
    epochs: int
    aux: float


def program(number: int) -> Program:
    """The program of this number, always the same."""
    chance = random.Random(number)
    mean, division, log, gate = (_one(chance, parts) for parts in (MEANS, DIVISIONS, LOGS, GATES))
    clip = chance.choice(["", "torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)\n"])
    zero = chance.choice(["optimizer.zero_grad()", "optimizer.zero_grad(set_to_none=True)", "model.zero_grad()"])
    before, handed = DIVISIONS[division]
    above, below = LOGS[log]
    micro = "\n".join(filter(None, (MEANS[mean], above, before, f"{handed}.backward()", below)))
    shape, short = GATES[gate]
    step = _STEP.format(clip=clip, zero=zero)
    parts = {f"micro{depth}": indent(micro, "    " * depth) for depth in (1, 2)}
    parts |= {f"step{depth}": indent(step, "    " * depth) for depth in (1, 2)}
    loop = shape.format(**parts, micro=parts["micro1"], loader=chance.choice(["loader", "tqdm(loader)"]))
    in_class = chance.random() < 0.3
    if in_class:
        loop = _OWN.sub(r"self.\1", loop)
    body = (_CLASS if in_class else _FUNCTION).format(loop=indent(loop, "        "))
    aux = 0.25 if "router" in mean else 0.0
    made_of = (mean, division, log, gate, "class" if in_class else "function")
    return Program(_HEAD + body + _MAIN, made_of, short, 1 if in_class else 2, aux)


def _one(chance: random.Random, parts: Mapping[str, object]) -> str:
    return chance.choice(list(parts))
