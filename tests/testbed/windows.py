"""Which loops count for themselves, or hold their window? A random one for each number, right or wrong.

What differs is how a window comes together (slices, `islice`, a list that fills up, one large batch that is cut), what
is counted, who divides by it, and how a micro-batch is written. `train(model, loader, optimizer, steps, epochs)` runs
it and returns what it logged; whether it is right is for the numbers to say.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent

SUM, MEAN = "sum", "mean"
COUNTS = {  # of the labels L, the ids I and the attention mask A of a micro-batch
    "targets": "(L[:, 1:] != -100).sum()",
    "items": "L[..., 1:].ne(-100).sum().item()",
    "positive": "(L[:, 1:] > -1).sum()",
    "not negative": "(L[:, 1:] >= 0).sum()",
    "by torch": "torch.sum(L[:, 1:] != -100)",
    "counted": "torch.count_nonzero(L[:, 1:] != -100)",
    "unshifted": "(L != -100).sum()",
    "positions": "L[:, 1:].numel()",
    "not padded": "A[:, 1:].sum()",
    "all not padded": "A.sum()",
    "ids": "(I[:, 1:] != 0).sum()",
    "rows": "L.size(0)",
}
_LOGITS = "logits = model(I).logits[:, :-1]\n"
_FLAT = "logits.flatten(0, 1), L[:, 1:].flatten()"
_EACH = f'{_LOGITS}losses = F.cross_entropy(logits.transpose(1, 2), L[:, 1:], reduction="none")\n'
SUMS = {
    "cross-entropy": f'{_LOGITS}loss = F.cross_entropy({_FLAT}, reduction="sum")',
    "a criterion": f"{_LOGITS}loss = sum_criterion({_FLAT})",
    "each": f"{_EACH}loss = losses.sum()",
    "masked": f"{_EACH}loss = (losses * (L[:, 1:] != -100)).sum()",
    "nll": f"{_LOGITS}logp = F.log_softmax(logits, dim=-1)\n"
    'loss = F.nll_loss(logp.flatten(0, 1), L[:, 1:].flatten(), ignore_index=-100, reduction="sum")',
    "a helper's": "loss = summed_loss(model(I).logits, L)",
    "a mean taken back": "loss = model(I, labels=L).loss * (L[:, 1:] != -100).sum()",
}
MEANS = {
    "the model's own": "loss = model(I, labels=L).loss",
    "an output": "outputs = model(input_ids=I, labels=L)\nloss = outputs.loss",
    "cross-entropy": f"{_LOGITS}loss = F.cross_entropy({_FLAT}, ignore_index=-100)",
    "a criterion": f"{_LOGITS}loss = criterion({_FLAT})",
    "selected": f"{_EACH}loss = losses[L[:, 1:] != -100].mean()",
    "a helper's": "loss = mean_loss(model(I).logits, L)",
}
USES = {  # before backward (T: the window's count, N: the micro-batch's own), and before the optimizer's step
    "over the total": (SUM, "loss = loss / T", ""),
    "over the total, in place": (SUM, "loss /= T", ""),
    "over a total of one": (SUM, "loss = loss / max(T, 1)", ""),
    "times its inverse": (SUM, "loss = loss * (1.0 / T)", ""),
    "times its share": (MEAN, "loss = loss * (N / T)", ""),
    "times its named share": (MEAN, "share = N / T\nloss = loss * share", ""),
    "times its count": (MEAN, "loss = loss * N / T", ""),
    "gradients over the total": (SUM, "", "for p in model.parameters():\n    p.grad.div_(T)\n"),
    "gradients in place": (SUM, "", "for p in model.parameters():\n    if p.grad is not None:\n        p.grad /= T\n"),
    "gradients of means": (MEAN, "loss = loss * N", "for p in model.parameters():\n    p.grad.mul_(1 / T)\n"),
    "gradients over the steps": (MEAN, "", "for p in model.parameters():\n    p.grad.div_(steps)\n"),
    "over its own, and the steps": (SUM, "loss = loss / N / steps", ""),
    "over the steps": (MEAN, "loss = loss / steps", ""),
    "over the length": (MEAN, "loss = loss / W", ""),
    "over the steps and the total": (SUM, "loss = loss / T / steps", ""),
    "undivided": (MEAN, "", ""),
}
LOGS = {
    "nothing": "",
    "a sum": "running += loss.item()\n",
    "detached": "running += loss.detach()\n",
    "its own": "running += loss.item() / N\n",
    "listed": "history.append(loss.item())\n",
}
_HELD = "{total}for B in window:\n{micro}\n{step}"
_ROWS = (
    "{total}for start in window:\n    B = {{key: value[start : start + SIZE] for key, value in whole.items()}}\n"
    "{micro}\n{step}"
)
SHAPES = {  # how a window comes together: one that is held, one that is cut from a batch, or one that is counted so far
    "slices": "batches = list(loader)\nfor start in range(0, len(batches), steps):\n"
    "    window = batches[start : start + steps]\n{held}",
    "islice": "batches = iter(loader)\nwhile window := list(itertools.islice(batches, steps)):\n{held}",
    "islice until none": "batches = iter(loader)\nwhile True:\n    window = list(itertools.islice(batches, steps))\n"
    "    if not window:\n        break\n{held}",
    "collected": "window = []\nfor index, item in enumerate(loader):\n    window.append(item)\n"
    "    if len(window) < steps and index + 1 < len(loader):\n        continue\n{held}\n    window = []",
    "generated": "for window in windows_of(loader, steps):\n{held}",
    "cut": "for whole in loader:\n    window = cut(whole, steps)\n{held}",
    "rows": 'for whole in loader:\n    size = -(-len(whole["labels"]) // steps)\n'
    '    window = range(0, len(whole["labels"]), size)\n{held}',
    "rows of a range": 'for whole in loader:\n    rows = len(whole["labels"])\n    size = -(-rows // steps)\n{held}',
    "rows of a size": 'for whole in loader:\n    micro_batch_size = -(-len(whole["labels"]) // steps)\n{held}',
    "chunks": "for whole in loader:\n    window = list(zip(*(part.chunk(steps) for part in whole)))\n{held}",
    "so far": "for index, B in enumerate(loader):\n{micro}\n"
    "    if (index + 1) % steps == 0 or index + 1 == len(loader):\n{step}\n        tokens = 0",
    "so far, pending": "pending = 0\nfor B in loader:\n{micro}\n    pending += 1\n"
    "    if pending == steps:\n{step}\n        tokens, pending = 0, 0\nif pending:\n{last}\n    tokens = 0",
}
_RANGES = {
    "rows of a range": "range(0, rows, size)",
    "rows of a size": 'range(0, len(whole["labels"]), micro_batch_size)',
}
HEAD = """import itertools

import torch
import torch.nn.functional as F
from torch import nn


def mean_loss(logits, labels):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)


def summed_loss(logits, labels):
    logits, targets = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return F.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")


def windows_of(loader, steps):
    window = []
    for batch in loader:
        window.append(batch)
        if len(window) == steps:
            yield window
            window = []
    if window:
        yield window


def cut(batch, steps):
    size = (len(batch["labels"]) + steps - 1) // steps
    parts = range(0, len(batch["labels"]), size)
    return [{key: value[start : start + size] for key, value in batch.items()} for start in parts]


"""
_FUNCTION = """def train(model, loader, optimizer, steps, epochs):
    running, history, tokens = 0.0, [], 0
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    sum_criterion = nn.CrossEntropyLoss(ignore_index=-100, reduction="sum")
    model.train()
    for epoch in range(epochs):
{loop}
    return running, history


def main():
    from torch.nn.utils.rnn import pad_sequence
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM

    from data import load_rows

    def collate(rows):
        ids = pad_sequence([row["input_ids"] for row in rows], batch_first=True)
        labels = pad_sequence([row["labels"] for row in rows], batch_first=True, padding_value=-100)
        return {packed}

    model = AutoModelForCausalLM.from_pretrained("gpt2")
    loader = DataLoader(load_rows(), batch_size=2, collate_fn=collate)
    train(model, loader, torch.optim.AdamW(model.parameters(), lr=1e-4), 4, 1)
"""
_DICT = '{"input_ids": ids, "labels": labels, "attention_mask": (ids != 0).long()}'
_TUPLE = "ids, labels, (ids != 0).long()"
_KEYS = {name: f'B["{key}"]' for name, key in (("I", "input_ids"), ("L", "labels"), ("A", "attention_mask"))}
_PLACES = {"I": "B[0]", "L": "B[1]", "A": "B[2]"}
_NAMES = {"I": "input_ids", "L": "labels", "A": "attention_mask"}
FORMS = {  # what I, L and A are for a count of the window and for the loss, and what is said before
    "by key": (_KEYS, _KEYS, ""),
    "named": (_KEYS, _NAMES, 'input_ids, labels, attention_mask = B["input_ids"], B["labels"], B["attention_mask"]\n'),
    "unpacked": (_PLACES, _NAMES, "input_ids, labels, attention_mask = B\n"),
    "by place": (_PLACES, _PLACES, ""),
}


@dataclass(frozen=True)
class Loop:
    """`feed`: what the loader yields: micro-batches, or `whole` windows; `pairs`: as tuples, not as dictionaries."""

    text: str
    made_of: tuple[str, ...]
    count: str
    whole: bool
    pairs: bool
    epochs: int


def loop(number: int) -> Loop:
    """The loop of this number, always the same."""
    chance = random.Random(number)
    shape, use, form, log = (chance.choice(list(parts)) for parts in (SHAPES, USES, FORMS, LOGS))
    if "rows" in shape or shape == "chunks":
        form = "unpacked" if shape == "chunks" else "by key"
    whole, pairs = shape in ("cut", "chunks") or "rows" in shape, form in ("unpacked", "by place")
    if shape == "cut" and pairs:
        form, pairs = "by key", False
    kind, before, after = USES[use]
    loss = chance.choice(list(SUMS if kind == SUM else MEANS))
    count = chance.choice(["targets", "targets", chance.choice(list(COUNTS))])
    lines = [(SUMS if kind == SUM else MEANS)[loss], before, "loss.backward()"]
    lines.insert(place := chance.choice([1, 3]), LOGS[log])
    clip = chance.choice(["", "torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)\n"])
    step = f"{after}{clip}optimizer.step()\noptimizer.zero_grad()"
    body = _put_together(shape, "\n".join(filter(None, lines)), step, form)
    epochs = chance.choice([1, 2])
    text = HEAD + _FUNCTION.replace("{loop}", indent(_named(body, form, COUNTS[count]), " " * 8))
    text = text.replace("{packed}", _TUPLE if pairs else _DICT)
    return Loop(
        text, (shape, use, loss, count, form, log, "above" if place == 1 else "below"), count, whole, pairs, epochs
    )


def _put_together(shape: str, micro: str, step: str, form: str) -> str:
    """The loop with I, L, A, B, N, T and W in it; those of a count of the window are marked `each`."""
    said = FORMS[form][2]
    if "so far" in shape:
        parts = {"micro": indent(f"{said}tokens += N\n{micro}", "    "), "step": indent(step, " " * 8)}
        text = SHAPES[shape].format(**parts, last=indent(step, "    "))
        return re.sub(r"\bW\b", "steps", re.sub(r"\bT\b", "tokens", text))
    total = "total = sum(EACH for B in window)\n" if re.search(r"\bT\b", micro + step) else ""
    if "rows" in shape:
        total = total.replace("sum(EACH for B in window)", "WHOLE")
    held = (_ROWS if "rows" in shape else _HELD).format(total=total, micro=indent(said + micro, "    "), step=step)
    held = held.replace("in window", f"in {_RANGES[shape]}") if shape in _RANGES else held
    text = SHAPES[shape].format(held=indent(held, "    "))
    text = text.replace("SIZE", "micro_batch_size" if shape == "rows of a size" else "size")
    return re.sub(r"\bW\b", _lengths(shape), re.sub(r"\bT\b", "total", text))


def _lengths(shape: str) -> str:
    """How many micro-batches there are in a window."""
    return f"len({_RANGES.get(shape, 'window')})"


def _named(text: str, form: str, count: str) -> str:
    over_window, over_one, _ = FORMS[form]
    over = _with(count, over_window)
    text = text.replace("EACH", over).replace("WHOLE", over.replace("B[", "whole["))
    return re.sub(r"\bB\b", "batch", _with(re.sub(r"\bN\b", count, text), over_one))


def _with(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\b[ILA]\b", lambda found: names[found[0]], text)
