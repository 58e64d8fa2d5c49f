"""Does a rewritten loop count the very targets that its mean is over? What is masked or cut off in the loop decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.fixtures import Fixture, check, diagnostics, fix

LOOP = """import torch
import torch.nn.functional as F
from transformers import DataCollatorForSeq2Seq


def train(model, dataset, tokenizer, optimizer, steps, pad):
    loader = torch.utils.data.DataLoader(dataset, collate_fn=DataCollatorForSeq2Seq(tokenizer))
    for step, batch in enumerate(loader):
        logits = model(batch["input_ids"]).logits
        {}
        (loss / steps).backward()
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
ALIGN = 'labels, logits = batch["labels"][:, 1:], logits[:, :-1]'
PLAIN = "loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())"
EACH = 'nll = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")'
MASKED = "loss = (nll * mask).sum() / mask.sum()"
SHIFTED = '(batch["labels"][..., 1:] != -100).sum()'

COUNTED = {
    "moved and flattened": (('labels = batch["labels"].to(model.device).long()', PLAIN), SHIFTED),
    "a mask of the labels": ((ALIGN, EACH, "mask = (labels != -100).float()", MASKED), SHIFTED),
    "ne": ((ALIGN, EACH, "mask = labels.ne(-100)", MASKED), SHIFTED),
    "torch.ne": ((ALIGN, EACH, "loss = nll.sum() / torch.ne(labels, -100).sum()"), SHIFTED),
    "another value left out": (
        (ALIGN, EACH, "mask = labels != pad", MASKED),
        '(batch["labels"][..., 1:] != self.ignore_index).sum()',
    ),
    "the mask that divides, not the one that multiplies": (
        (ALIGN, EACH, 'n = batch["token_mask"][:, 1:]', 'loss = (nll * batch["loss_mask"][:, 1:]).sum() / n.sum()'),
        'batch["token_mask"][..., 1:].sum()',
    ),
    "picked": ((ALIGN, EACH, 'loss = nll[batch["loss_mask"][:, 1:]].mean()'), 'batch["loss_mask"][..., 1:].sum()'),
    "an ignore index of its own": (
        ('labels = batch["labels"]', PLAIN.replace("())", "(), ignore_index=pad)")),
        '(batch["labels"][..., 1:] != self.ignore_index).sum()',
    ),
}
WRITTEN_OUT = {
    "filled": (
        ('labels = batch["labels"].masked_fill(batch["attention_mask"] == 0, -100)', PLAIN),
        '(batch["labels"].masked_fill(batch["attention_mask"] == 0, -100)[:, 1:] != -100).sum()',
    ),
    "annotated": (
        ('labels: torch.Tensor = batch["labels"].masked_fill(batch["labels"] == 3, -100)', PLAIN),
        '(batch["labels"].masked_fill(batch["labels"] == 3, -100)[:, 1:] != -100).sum()',
    ),
    "one of a pair": (
        ('n, labels = 2, batch["labels"][:, :512]', PLAIN),
        '(batch["labels"][:, :512][:, 1:] != -100).sum()',
    ),
    "where": (
        ('labels = torch.where(batch["attention_mask"] == 1, batch["labels"], -100)', PLAIN),
        '(torch.where(batch["attention_mask"] == 1, batch["labels"], -100)[:, 1:] != -100).sum()',
    ),
    "cut off": (('labels = batch["labels"][:, :512]', PLAIN), '(batch["labels"][:, :512][:, 1:] != -100).sum()'),
    "multiplied": (
        ('labels = batch["labels"] * batch["attention_mask"]', PLAIN),
        '((batch["labels"] * batch["attention_mask"])[:, 1:] != -100).sum()',
    ),
}
CHANGED_IN_PLACE = {
    "under an attribute": (
        'model.labels = batch["labels"]',
        "model.labels[:, :4] = -100",
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "under an annotated name": (
        'labels: torch.Tensor = batch["labels"]',
        "labels[:, :4] = -100",
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "under the name of one of a pair": (
        'mask, labels = batch["mask"], batch["labels"]',
        "labels *= mask",
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "by an operation that is told where to write": (
        'labels = batch["labels"]',
        'torch.mul(labels, batch["mask"], out=labels)',
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "a part of the entry itself": (
        'batch["labels"][:, :3].fill_(-100)',
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "an entry of a batch that was moved": (
        "batch = {key: value.to(model.device) for key, value in batch.items()}",
        'batch["labels"].clamp_(max=7)',
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "the entry bound anew": (
        'batch["labels"]: torch.Tensor = batch["labels"].clamp(max=9)',
        PLAIN.replace("labels[", 'batch["labels"]['),
    ),
    "filled": ('labels = batch["labels"].clone()', "labels.masked_fill_(labels == pad, -100)", PLAIN),
    "assigned": ('labels = batch["labels"].clone()', "labels[labels == pad] = -100", PLAIN),
    "under another name": (
        'labels = batch["labels"]',
        "labels[:, :4] = -100",
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
    "under the name of a view of it": (
        'labels = batch["labels"]',
        "rest = labels[:, 1:].view(-1)",
        "rest[rest == pad] = -100",
        'loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())',
    ),
}
REFUSED = {
    "a mask of two": (
        ALIGN,
        EACH,
        'mask = (labels != -100) & (batch["weights"][:, 1:] > 0)',
        MASKED,
    ),
    "a mask turned round": (
        ALIGN,
        EACH,
        'mask = ~batch["prompt_mask"][:, 1:]',
        MASKED,
    ),
    "what is masked out is averaged over": (ALIGN, EACH, 'loss = (nll * batch["loss_mask"][:, 1:]).mean()'),
    "every position": (ALIGN, EACH, "loss = nll.sum() / labels.numel()"),
}


def written(folder: Path, lines: tuple[str, ...]) -> Fixture:
    path = folder / "train.py"
    path.write_text(LOOP.format("\n        ".join(lines)))
    return Fixture(path, folder)


@pytest.mark.parametrize(("lines", "count"), COUNTED.values(), ids=COUNTED)
def test_what_is_counted(lines: tuple[str, ...], count: str, tmp_path: Path) -> None:
    assert f"({count}) for batch in window]" in fix(written(tmp_path, lines))


@pytest.mark.parametrize(("lines", "count"), WRITTEN_OUT.values(), ids=WRITTEN_OUT)
def test_what_the_loop_makes_of_the_batch_is_counted_so(lines: tuple[str, ...], count: str, tmp_path: Path) -> None:
    assert f"({count}) for batch in window]" in fix(written(tmp_path, lines))


@pytest.mark.parametrize("lines", CHANGED_IN_PLACE.values(), ids=CHANGED_IN_PLACE)
def test_what_is_changed_in_place_is_not_counted_before_it(lines: tuple[str, ...], tmp_path: Path) -> None:
    fixture = written(tmp_path, lines)
    assert fix(fixture) == fixture.path.read_text()


@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED)
def test_what_the_loop_changes_is_not_counted_before_it(lines: tuple[str, ...], tmp_path: Path) -> None:
    fixture = written(tmp_path, lines)
    assert fix(fixture) == fixture.path.read_text()
    [found] = diagnostics(check(fixture.path, tmp_path))
    assert any(
        word in (found.finding.fix_refusal or "") for word in ("made in the loop", "in the loop, after", "leaves out")
    )


HELPER = """
def chunked(logits, targets, ignore_index=-100):
    nll = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore_index, reduction="none")
    return nll.sum() / (targets != ignore_index).sum().clamp(min=1)
"""


def test_a_helpers_own_name_for_a_number_is_not_written_into_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(LOOP.format('loss = chunked(logits[:, :-1], batch["labels"][:, 1:])') + HELPER)
    assert f"({SHIFTED}) for batch in window]" in fix(Fixture(path, tmp_path))


CRITERION = """import torch
from transformers import DataCollatorForSeq2Seq


class Runner:
    def __init__(self, model, tokenizer):
        self.model = model
        pad = tokenizer.pad_token_id
        self.criterion = torch.nn.CrossEntropyLoss(ignore_index=pad)

    def train(self, dataset, collate, optimizer, steps):
        loader = torch.utils.data.DataLoader(dataset, collate_fn=DataCollatorForSeq2Seq(collate))
        for step, (x, y) in enumerate(loader):
            logits = self.model(x)
            loss = self.criterion(logits.view(-1, logits.size(-1)), y.view(-1))
            (loss / steps).backward()
            if (step + 1) % steps == 0:
                optimizer.step()
                optimizer.zero_grad()
"""


@pytest.mark.parametrize("pad", ["pad = tokenizer.pad_token_id", "pad = tokenizer.encode('<pad>')[0]"])
def test_a_criterion_built_elsewhere_says_itself_what_it_ignores(pad: str, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(CRITERION.replace("pad = tokenizer.pad_token_id", pad))
    assert "WithTargetShare(loader, steps, ignore_index=self.criterion.ignore_index)" in fix(Fixture(path, tmp_path))
