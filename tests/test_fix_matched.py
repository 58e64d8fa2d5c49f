"""Is a count that was made to match its loss right? Found, rewritten and run for real, after every optimizer step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ga_lint.config import Config
from ga_lint.diagnostics import Confidence
from ga_lint.engine.fix_file import FixOutcome, fix_file
from ga_lint.engine.propose import TextOutcomes, findings_by
from ga_lint.engine.scope import Scope
from ga_lint.project import Project
from ga_lint.source import decode
from testbed.accumulation import IGNORED, STEPS, Batch, Recorder, TinyModel, micro_batches, oracle, windows_of, worst

EXACT, FAR = 1e-10, 1e-2

LIST = """import itertools
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM


def train(model, loader, optimizer, steps):
    batches = iter(loader)
    while window := list(itertools.islice(batches, steps)):
        {count}
        for batch in window:
            {loss}
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
"""
LOSS = """labels = batch["labels"][:, 1:]
            logits = model(batch["input_ids"]).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
            loss = loss / count"""
MASKED = LOSS.replace(
    "[:, 1:]\n", '[:, 1:]\n            labels = labels.masked_fill(batch["prompt"][:, 1:] == 1, -100)\n', 1
)
OWN = """n = {}
            loss = model(**batch).loss
            loss = loss * n / count"""
GATED = """import torch
import torch.nn.functional as F
from tqdm import tqdm


def train(model, loader, optimizer, steps):
    tokens = 0
    for step, batch in enumerate(tqdm(loader, disable=True)):
        logits = model(batch["input_ids"]).logits[:, :-1]
        targets = batch["labels"][:, 1:]
        tokens += (targets != -100).sum()
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")
        loss = loss / tokens
        loss.backward()
        if (step + 1) % steps == 0 or step + 1 == len(loader):
            optimizer.step()
            optimizer.zero_grad()
            tokens = 0
"""


def in_list(count: str, loss: str = LOSS) -> str:
    return LIST.format(count=count, loss=loss)


def pairs(text: str) -> str:
    """Batches that are tuples: inputs, then targets."""
    return (
        text.replace("for batch in", "for x, y in").replace('batch["labels"]', "y").replace('batch["input_ids"]', "x")
    )


CASES = {
    "the attention mask": in_list('count = sum(b["attention_mask"].sum() for b in window)'),
    "the attention mask, cut": in_list('count = sum(batch["attention_mask"][:, 1:].sum() for batch in window)'),
    "every position": in_list('count = sum(b["labels"].numel() for b in window)'),
    "labels that are not shifted": in_list('count = sum((b["labels"] != -100).sum().item() for b in window)'),
    "added up in a loop": in_list(
        'count = 0\n        for index, b in enumerate(window):\n            mask = b["attention_mask"]\n'
        "            count += mask.sum().item()"
    ),
    "a list of counts": in_list('counts = [b["labels"].ne(-100).sum() for b in window]\n        count = sum(counts)'),
    "no less than one": in_list('count = max(sum(b["labels"].numel() for b in window), 1)'),
    "tuples": pairs(in_list('count = sum(batch["labels"].numel() for batch in window)')),
    "tuples, of which the count throws one away": pairs(
        in_list('count = sum(batch["labels"].numel() for batch in window)')
    ).replace("y.numel() for x, y in", "labels.numel() for _, labels in"),
    "tuples as one": pairs(in_list("count = sum(pair[1].numel() for pair in window)")),
    "masked in the loop": in_list('count = sum(b["labels"][:, 1:].numel() for b in window)', MASKED),
    "the model's own loss": in_list(
        'count = sum(b["attention_mask"].sum() for b in window)', OWN.format('batch["attention_mask"].sum()')
    ).replace("    batches =", "    model = AutoModelForCausalLM.from_pretrained('tiny')\n    batches ="),
    "a helper": in_list("count = positions(steps, window)")
    + '\n\ndef positions(steps, many):\n    return sum(b["labels"].numel() for b in many)\n',
    "so far": GATED,
    "so far, with a log": GATED.replace(
        "            tokens = 0", "            print(int(tokens), end='')\n            tokens = 0"
    ),
    "so far, divided in place": GATED.replace("loss = loss / tokens", "loss /= max(tokens, 1)"),
    "so far, without the last window": GATED.replace(" or step + 1 == len(loader)", ""),
    "so far, in an inner loop": in_list(
        "count = 0",
        LOSS.replace("            loss = loss", "            count += (labels != -100).sum()\n            loss = loss"),
    ),
    "so far, drawn without end": GATED.replace(
        "    for step, batch in enumerate(tqdm(loader, disable=True)):",
        "    batches, step = iter(loader), -1\n    while step + 1 < len(loader):\n"
        "        batch = next(batches)\n        step += 1",
    ),
    "so far, under a mask": GATED.replace('reduction="sum")', 'reduction="none")')
    .replace("ignore_index=-100, ", "")
    .replace("targets = ", "mask = batch['loss_mask'][:, 1:]\n        targets = ")
    .replace("(targets != -100).sum()", "mask.sum()")
    .replace("loss = loss / tokens", "loss = (loss * mask.flatten()).sum() / tokens"),
    "the numbers in a number": GATED.replace("/ tokens", "/ loss.numel()"),
}


def data(case: str) -> list[Any]:
    batches: list[Any] = []
    for number, batch in enumerate(micro_batches()):
        mask = torch.ones_like(batch["labels"])
        mask[0, 4 + number % 3 :] = 0
        prompt = torch.zeros_like(mask)
        prompt[:, : 1 + number % 3] = 1
        if "tuple" in case:
            batches.append((batch["input_ids"], batch["labels"]))
        elif "own" in case:
            batches.append(Masked(batch, mask))
        else:
            live = (batch["labels"] != IGNORED).double()
            batches.append(batch | {"attention_mask": mask, "prompt": prompt, "loss_mask": live})
    return batches


class Masked(dict[str, torch.Tensor]):
    """What a model takes, and a mask that it is not handed."""

    def __init__(self, batch: Batch, mask: torch.Tensor) -> None:
        super().__init__(batch)
        self.mask = mask

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.mask if key == "attention_mask" else super().__getitem__(key)


def fixed(text: str, folder: Path) -> FixOutcome:
    path = folder / "train.py"
    path.write_text(text)
    config = Config(root=folder, min_confidence=Confidence.POSSIBLE)
    return fix_file(decode(path, text.encode()), findings_by(TextOutcomes(Scope(config, Project(folder)))), unsafe=True)


def error(text: str, case: str) -> float:
    names: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), names)
    recorder = Recorder(model := TinyModel())
    names["AutoModelForCausalLM"] = SimpleNamespace(from_pretrained=lambda name: model)
    names["train"](model, data(case), recorder.optimizer, STEPS)
    batches = micro_batches()
    if "masked" in case:
        for batch, other in zip(batches, data(case), strict=True):
            batch["labels"] = batch["labels"].masked_fill(other["prompt"] == 1, -100)
    return worst(recorder.seen, oracle(windows_of(batches, short="without the last" not in case)))


@pytest.mark.parametrize(("case", "text"), CASES.items(), ids=CASES)
def test_every_step_equals_the_full_batch(case: str, text: str, tmp_path: Path) -> None:
    outcome = fixed(text, tmp_path)
    assert [each.finding.code for each in outcome.applied] == ["GA106"], outcome.refused
    assert error(text, case) > FAR
    assert error(outcome.after.text, case) < EXACT


WRONG: dict[str, Callable[[str], str]] = {
    "the first label too": lambda text: text.replace("[..., 1:]", ""),
    "one more of each": lambda text: text.replace("-100).sum()", "-100).sum() + 1"),
    "another value left out": lambda text: text.replace("!= -100).sum() for", "!= 3).sum() for").replace(
        "!= -100).sum()) for", "!= 3).sum()) for"
    ),
}


@pytest.mark.parametrize("case", ["the attention mask", "so far", "the model's own loss"])
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_another_count_would_be_seen(change: Callable[[str], str], case: str, tmp_path: Path) -> None:
    text = fixed(CASES[case], tmp_path).after.text
    assert change(text) != text
    assert error(change(text), case) > FAR / 10


def test_a_counter_goes_where_nothing_else_reads_it(tmp_path: Path) -> None:
    assert "tokens" not in fixed(CASES["so far"], tmp_path).after.text
    kept = fixed(CASES["so far, with a log"], tmp_path).after.text
    assert all(line in kept for line in ("tokens = 0", "tokens += (targets != -100).sum()"))


def test_a_mask_of_prompts_is_written_out(tmp_path: Path) -> None:
    text = fixed(CASES["masked in the loop"], tmp_path).after.text
    assert '(b["labels"][:, 1:].masked_fill(b["prompt"][:, 1:] == 1, -100) != -100).sum().item() for b in' in text


NUMEL = 'count = sum(b["labels"][:, 1:].numel() for b in window)'
REFUSED = {
    "labels changed in place": (
        in_list(NUMEL, MASKED.replace("labels = labels.masked_fill", "labels.masked_fill_")),
        "made on line 13",
    ),
    "labels made on one path": (
        in_list(
            NUMEL,
            MASKED.replace("            labels = labels", "            if steps > 1:\n                labels = labels"),
        ),
        "made on line 14",
    ),
    "labels drawn": (
        in_list(NUMEL, MASKED.replace('batch["prompt"][:, 1:] == 1', "torch.rand(labels.shape) < 0.1")),
        "torch.rand(",
    ),
    "a mask from elsewhere": (
        in_list(NUMEL, MASKED.replace('batch["prompt"][:, 1:] == 1', "hidden")).replace("steps):", "steps, hidden):"),
        "hidden, not from the micro-batch",
    ),
    "only some micro-batches": (in_list(NUMEL.replace("in window", "in window if b")), "leaves micro-batches out"),
    "another window": (in_list(NUMEL.replace("in window", "in window[1:]")), "window[1:], not of window"),
    "a helper": (
        in_list("count = positions(window)")
        + '\n\ndef positions(window):\n    return sum(b["labels"].numel() for b in window)\n\n\nprint(positions([]))\n',
        "positions counts for others too",
    ),
    "a mask in the loss": (
        in_list(
            NUMEL,
            LOSS.replace('"sum")', '"none")').replace("loss / count", "(loss * batch['loss_mask']).sum() / count"),
        ),
        "a mask is multiplied into the loss",
    ),
    "weights of the elements": (
        in_list(NUMEL, LOSS.replace('"sum")', '"none")').replace("loss / count", "(loss * batch['w']).sum() / count")),
        "are multiplied by something",
    ),
    "class weights": (in_list(NUMEL, LOSS.replace("reduction=", "weight=steps.weight, reduction=")), "class weights"),
    "so far and the steps": (GATED.replace("/ tokens", "/ tokens / steps"), "by the steps as well"),
    "so far and more": (GATED.replace("/ tokens", "/ (tokens * world_size)"), "whose meaning is not known"),
    "so far, in a while": (
        GATED.replace("for step, batch in enumerate(tqdm(loader, disable=True)):", "while batch := next(loader):"),
        "is not drawn in the loop",
    ),
    "so far, with another term": (GATED.replace("= loss /", "= (loss + router.aux_loss) /"), "a sum of terms"),
    "after the window was cut": (in_list(f"{NUMEL}\n        window = window[:2]"), "changes on line 11"),
    "on one path": (
        in_list('count = 0\n        for b in window:\n            if b:\n                count += b["labels"].numel()'),
        "leaves micro-batches out",
    ),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_count_that_is_not_known_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    outcome = fixed(text, tmp_path)
    assert not outcome.applied, outcome.after.text
    assert [each.finding.code for each in outcome.refused] == ["GA106"]
    assert reason in outcome.refused[0].reason
