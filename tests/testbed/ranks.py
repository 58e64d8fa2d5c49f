"""Which loops run on several ranks? A random one for each number: accelerate, DDP and Fabric, right or wrong.

What differs is who divides and averages, how a window comes together, how its targets are counted and added over the
ranks, and which factors are written. `train(model, loader, optimizer, steps)` runs it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from textwrap import indent

ACCELERATE = """    accelerator = Accelerator(gradient_accumulation_steps=steps, cpu=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""
_TOLD = "gradient_accumulation_steps=steps, "
_FABRIC = """    fabric = Fabric(accelerator="cpu", devices=int(os.environ["WORLD_SIZE"]), strategy="ddp")
    fabric.launch()
    model, optimizer = fabric.setup(model, optimizer)
    loader = fabric.setup_dataloaders(loader)
"""
STACKS = {  # what is set up, how many ranks there are, and what runs backward, clips and leaves the ranks apart
    "accelerate": (ACCELERATE, "accelerator.num_processes", "accelerator.backward(loss)", "accelerator.no_sync(model)"),
    "accelerate, not told": (
        ACCELERATE.replace(_TOLD, ""),
        "accelerator.num_processes",
        "accelerator.backward(loss)",
        "accelerator.no_sync(model)",
    ),
    "ddp": (
        "    model = DistributedDataParallel(model)\n",
        "dist.get_world_size()",
        "loss.backward()",
        "model.no_sync()",
    ),
    "fabric": (_FABRIC, "fabric.world_size", "fabric.backward(loss)", "fabric.no_backward_sync(model)"),
}
REDUCED = {  # how the count of a window is added over the ranks
    "accelerate": (
        "count = accelerator.gather(count).sum()\n", 'count = accelerator.reduce(count, reduction="sum")\n',
        "count = accelerator.gather(count).sum().item()\n", "dist.all_reduce(count)\n",
    ),
    "ddp": ("dist.all_reduce(count)\n", "dist.all_reduce(count, op=dist.ReduceOp.SUM)\n"),
    "fabric": ('count = fabric.all_reduce(count, reduce_op="sum")\n', "count = fabric.all_gather(count).sum()\n"),
}  # fmt: skip
_LOGITS = 'logits = model(batch["input_ids"]).logits[:, :-1]\n'
_FLAT = 'logits.flatten(0, 1), batch["labels"][:, 1:].flatten()'
_COUNT = '(batch["labels"][:, 1:] != -100).sum()'
MEANS = {
    "the model's own": "loss = model(**batch).loss",
    "an output's": "outputs = model(**batch)\nloss = outputs.loss",
    "cross-entropy": f"{_LOGITS}loss = F.cross_entropy({_FLAT})",
    "masked": f'{_LOGITS}mask = (batch["labels"][:, 1:] != -100).double()\n'
    'losses = F.cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:], reduction="none")\n'
    "loss = (losses * mask).sum() / mask.sum()",
    "with a router's": "outputs = model(**batch)\nloss = outputs.loss + 0.25 * outputs.aux_loss",
}
SUM = f'{_LOGITS}loss = F.cross_entropy({_FLAT}, reduction="sum")'
DIVISIONS = ("", "loss = loss / steps", "loss /= steps", "loss = loss / STEPS", "loss = loss / steps * RANKS")
_STEP = "optimizer.step()\noptimizer.zero_grad()"
_GATES = {
    "modulo": "for step, batch in enumerate(loader):\n{micro1}\n    if (step + 1) % steps == 0:\n{step2}",
    "flushed": "for step, batch in enumerate(loader):\n{micro1}\n"
    "    if (step + 1) % steps == 0 or step + 1 == len(loader):\n{step2}",
    "not synchronised": "for step, batch in enumerate(loader):\n"
    "    last = (step + 1) % steps == 0 or step + 1 == len(loader)\n"
    "    with APART if not last else contextlib.nullcontext():\n{micro2}\n    if last:\n{step2}",
}
_ACCUMULATE = "for step, batch in enumerate(loader):\n    with accelerator.accumulate(model):\n{micro2}\n"
_ACCUMULATES = {
    "accumulate": f"{_ACCUMULATE}{{step2}}",
    "accumulate, clipped": f"{_ACCUMULATE}        if accelerator.sync_gradients:\n"
    "            accelerator.clip_grad_norm_(model.parameters(), 1e9)\n{plain2}",
}
_WINDOW = """batches = iter(loader)
while window := list(itertools.islice(batches, steps)):
    count = sum({count} for batch in window)
{reduced}
    for batch in window:
{micro2}
{step1}"""
_SYNCHRONISED = """batches = iter(loader)
for update in range(math.ceil(len(loader) / steps)):
    window = list(itertools.islice(batches, steps))
    count = sum({count} for batch in window)
{reduced}
    for index, batch in enumerate(window):
        with APART if index + 1 < len(window) else contextlib.nullcontext():
{micro3}
{step1}"""
HEAD = """import contextlib
import itertools
import math
import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from accelerate import Accelerator
from lightning.fabric import Fabric
from torch.nn.parallel import DistributedDataParallel


def train(model, loader, optimizer, steps):
"""
_MAIN = """

def main():
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq

    from data import load_rows

    model = AutoModelForCausalLM.from_pretrained("gpt2")
    tokenizer = AutoTokenizer.from_pretrained("gpt2")
    loader = DataLoader(load_rows(), batch_size=2, collate_fn=DataCollatorForSeq2Seq(tokenizer, model))
    train(model, loader, torch.optim.AdamW(model.parameters(), lr=1e-4), 4)
"""


@dataclass(frozen=True)
class Ranked:
    """`short`: it steps on a last window that is shorter; `dealt`: the stack itself gives each rank its rows."""

    text: str
    made_of: tuple[str, ...]
    short: bool
    dealt: bool
    aux: float


def ranked(number: int) -> Ranked:
    """The loop of this number, always the same."""
    chance = random.Random(number)
    stack = chance.choice(list(STACKS))
    family = stack.partition(",")[0]
    setup, ranks, backward, apart = STACKS[stack]
    clip = "accelerator.clip_grad_norm_" if family == "accelerate" else "torch.nn.utils.clip_grad_norm_"
    step = chance.choice(["", f"{clip}(model.parameters(), 1e9)\n"]) + _STEP
    if chance.random() < 0.5:
        loop, made_of = _of_means(chance, stack, step)
    else:
        loop, made_of = _of_windows(chance, family, step)
    steps = "accelerator.gradient_accumulation_steps" if stack == "accelerate" else "steps"
    for name, text in {"BACKWARD": backward, "APART": apart, "RANKS": ranks, "STEPS": steps}.items():
        loop = loop.replace(name, text)
    body = "\n".join(line for line in loop.split("\n") if line.strip())
    text = f"{HEAD}{setup}{indent(body, '    ')}\n{_MAIN}"
    aux = 0.25 if "with a router's" in made_of else 0.0
    return Ranked(text, (stack, *made_of), "modulo" not in made_of, stack != "ddp", aux)


def _of_means(chance: random.Random, stack: str, step: str) -> tuple[str, tuple[str, ...]]:
    """A mean for each micro-batch, and perhaps a division."""
    gates = _GATES | (_ACCUMULATES if stack == "accelerate" else {})
    gate, mean, division = chance.choice(list(gates)), chance.choice(list(MEANS)), chance.choice(DIVISIONS)
    micro = f"{MEANS[mean]}\n{division}\nBACKWARD"
    return gates[gate].format(**_indented(micro, step), plain2=indent(_STEP, " " * 8)), (gate, mean, division)


def _of_windows(chance: random.Random, family: str, step: str) -> tuple[str, tuple[str, ...]]:
    """A window that is held, with its count, which may be of this rank alone, and factors that may be owed."""
    reduced = chance.choice(["", *REDUCED[family], *REDUCED[family]])
    factor = chance.choice(["", " * RANKS", " * STEPS", " * STEPS * RANKS", " * RANKS"])
    use = chance.choice(["sum", "sum", "share", "gradients", *MEANS])
    if use == "share":
        micro = f"loss = model(**batch).loss\nloss = loss * {_COUNT}{factor} / count\nBACKWARD"
    elif use == "sum":
        micro = f"{SUM}\nloss = loss{factor} / count\nBACKWARD"
    elif use == "gradients":
        micro = f"{SUM}\nBACKWARD"
        scale = factor.removeprefix(" * ") or "1"
        step = f"for p in model.parameters():\n    p.grad.mul_({scale} / count)\n{step}"
    else:
        factor = chance.choice([" / len(window)", " / steps", "", " / len(window) * RANKS"])
        micro = f"{MEANS[use]}\nloss = loss{factor}\nBACKWARD"
    shape = chance.choice([_WINDOW, _SYNCHRONISED])
    loop = shape.format(count=_COUNT, reduced=indent(reduced, "    "), **_indented(micro, step))
    return loop, ("held" if shape is _WINDOW else "held, apart", use, factor, reduced)


def _indented(micro: str, step: str) -> dict[str, str]:
    parts = {f"micro{depth}": indent(micro, "    " * depth) for depth in (1, 2, 3)}
    return parts | {f"step{depth}": indent(step, "    " * depth) for depth in (1, 2)}
