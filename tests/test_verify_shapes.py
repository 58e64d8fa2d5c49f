"""What public loops are made of: bars around loaders, several optimizers, libraries that tell ranks, own models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ga_lint.verify import Outcome, Verdict, Verifier, sites_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

STEP = """
        {backward}
        if (step + 1) % accum_steps == 0:
            {update}
"""
HEAD = "import torch\nfrom torch import nn\nfrom transformers import AutoModelForCausalLM\n"


def loop(body: str, *, before: str = "", over: str = "enumerate(loader)", item: str = "batch", **how: str) -> str:
    """A loop with `loss = ...` in these lines. `how`: parts that are others than usual."""
    step = STEP.format(
        backward=how.get("backward", "(loss / accum_steps).backward()"),
        update="optimizer.step()\n            optimizer.zero_grad()",
    )
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    setup = "".join(f"    {line}\n" for line in before.splitlines())
    head = f"def train({how.get('parameters', 'model, loader, optimizer')}, accum_steps):\n"
    return f"{HEAD}{how.get('above', '')}\n{head}{setup}    for step, {item} in {over}:\n{lines}{step}"


LOSS = "loss = model(**batch).loss"
BLOCKS = """
class Stream:
    def next_batch(self):
        block = self.tokens[self.position : self.position + self.length + 1]
        return block[:-1], block[1:]
"""
SCRIPT = """
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("tiny")
optimizer1 = torch.optim.AdamW(model.lm_head.parameters(), lr=0.1)
optimizer2 = Muon(model.transformer.parameters(), lr=0.1)
optimizers = [optimizer1, optimizer2]
schedulers = [torch.optim.lr_scheduler.LambdaLR(one, get_lr) for one in optimizers]
x, y = train_loader.next_batch()
for step in range(args.num_iterations + 1):
    model.train()
    for i in range(1, accum_steps + 1):
        _, loss = model(x, y)
        x, y = train_loader.next_batch()
        loss.backward()
    for p in model.parameters():
        p.grad /= accum_steps
    for one, schedule in zip(optimizers, schedulers):
        one.step()
        schedule.step()
    model.zero_grad(set_to_none=True)
"""
LOOPS: dict[str, tuple[str, Outcome, str]] = {
    "two optimizers side by side": (SCRIPT, Outcome.WRONG, ""),
    "an iterator that a helper draws from": (
        loop(
            f"batch = draw(train_iterator)\n{LOSS}",
            over="enumerate(range(64))",
            item="_",
            parameters="model, train_iterator, optimizer",
            above="\ndef draw(source):\n    return next(source)\n\n",
        ),
        Outcome.WRONG,
        "",
    ),
    "a tokenizer that is asked for its size": (
        loop(
            "logits = model(batch['input_ids']).logits[:, :-1].reshape(-1, tokenizer.get_vocab_size())\n"
            "loss = nn.functional.cross_entropy(logits, batch['labels'][:, 1:].reshape(-1))",
            parameters="model, loader, optimizer, tokenizer",
        ),
        Outcome.WRONG,
        "",
    ),
    "a library that is asked for ranks": (
        loop(
            "share = 1 + comm.rank() + comm.is_main()\nloss = model(**batch).loss * share / comm.world_size()",
            above="import nobodys_communication as comm\n",
        ),
        Outcome.WRONG,
        "",
    ),
    "a model that predicts its inputs, one block": (
        loop("batch = batch[:, :8]\nloss = model(batch)", backward="accelerator.backward(loss / accum_steps)"),
        Outcome.CORRECT,
        "one tensor",
    ),
    "a model that predicts its inputs, of rows with labels": (
        loop("loss = model(batch['input_ids'])\nseen = batch['labels']"),
        Outcome.NOT_VERIFIABLE,
        "needs the labels that its model makes of its inputs",
    ),
    "blocks cut out of a stream": (
        loop("x, y = batch\n_, loss = model(x, y)", above=BLOCKS),
        Outcome.CORRECT,
        "cut out of one stream",
    ),
    "blocks cut out of a stream, with padding": (
        loop("x, y = batch\n_, loss = model(x, y)", above=BLOCKS + "\nIGNORE = -100\n"),
        Outcome.WRONG,
        "",
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(verifier: Verifier, name: str) -> None:
    source, outcome, reason = LOOPS[name]
    (site,) = sites_in(Path("train.py"), source)
    verdict = verifier.verify(site)
    assert verdict.outcome is outcome, verdict
    assert reason in (verdict.reason or ""), verdict


SHARES = """
class Shares:
    def __init__(self, loader, steps):
        self.loader, self.steps = loader, steps

    def __iter__(self):
        batches = iter(self.loader)
        while window := list(itertools.islice(batches, self.steps)):
            counts = [int(({labels}[:, 1:] != -100).sum()) for batch in window]
            for batch, count in zip(window, counts):
                yield batch, count / sum(counts)
"""
TABLE = """batch = tuple(part.to("cpu") for part in batch)
inputs = {"input_ids": batch[0], "attention_mask": batch[1], "labels": batch[3]}
loss = model(**inputs)[0]"""


def of_a_table(labels: str, body: str, verifier: Verifier) -> Verdict:
    """A loop behind a progress bar, with a rewrite that counts its window's targets so."""
    above = "import itertools\nfrom tqdm import tqdm\n"
    original = loop(body, above=above, before="bar = tqdm(loader)", over="enumerate(bar)")
    rewritten = loop(
        f"{body}\nloss = loss * share",
        above=above + SHARES.format(labels=labels),
        before="bar = tqdm(loader)",
        over="enumerate(Shares(bar, accum_steps))",
        item="(batch, share)",
        backward="loss.backward()",
    )
    (site,) = sites_in(Path("train.py"), original)
    row = next(n for n, line in enumerate(rewritten.splitlines(), 1) if "loss.backward()" in line)
    return verifier.verify(replace(site, rewritten=rewritten, rewritten_row=row))


@pytest.mark.parametrize(("labels", "outcome"), [("batch[3]", Outcome.CONFIRMED), ("batch[0]", Outcome.REFUTED)])
def test_a_rewrite_behind_a_bar_counts_a_part_of_the_table(labels: str, outcome: Outcome, verifier: Verifier) -> None:
    verdict = of_a_table(labels, TABLE, verifier)
    assert verdict.outcome is outcome, verdict


def test_a_rewrite_that_reads_what_nobody_knows_is_not_refuted(verifier: Verifier) -> None:
    verdict = of_a_table("(batch['spans'] != 0)", LOSS, verifier)
    assert verdict.outcome is Outcome.NOT_VERIFIABLE, verdict
    assert "which only the rewrite reads" in (verdict.reason or "")
