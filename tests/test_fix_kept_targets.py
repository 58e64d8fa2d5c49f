"""Whose micro-batches are counted ahead? Those that nothing may change, and that no condition keeps from backward."""

from __future__ import annotations

import pytest

from testbed.rewriting import refusal, rewritten

LOOP = """\
def train(model, loader, optimizer, steps):
    for step, batch in enumerate(loader):
        {before}
        loss = model(**batch).loss / steps
        loss.backward()
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
PLACES = {
    "loop": "for step",
    "division": "model(**batch).loss / steps",
    "backward": "loss.backward()",
    "step": "optimizer.step()",
}
OPTIONS = {"stack": "plain", "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
HELPER = "def prepare(batch, mean=0):\n    {}\n\n\n"


def helped(line: str) -> str:
    """The loop, which hands its micro-batch to a helper of one line."""
    return HELPER.format(line) + LOOP.format(before="prepare(batch)")


def guarded(lines: str) -> str:
    """The loop with these lines where backward was."""
    text = LOOP.format(before="pass")
    return text.replace("loss.backward()\n", "\n        ".join(lines.splitlines()) + "\n")


KEPT = {
    "a helper that reads": helped("print(batch['labels'].shape)"),
    "a helper of its own state": helped("self.seen = batch['labels'].shape"),
    "a helper of its own state and a name": helped("self.seen, mean = batch['labels'].shape"),
    "a helper with names of its own": helped("labels = batch['labels']; count = len(labels)"),
    "a helper that has a helper that reads": "def look(batch):\n    print(batch)\n\n\n" + helped("look(batch)"),
    "a helper that calls itself": helped("prepare(batch)"),
    "a helper that hands on something else": helped("mask(mean)").replace("mean=0", "*, mean=0"),
    "a stranger that shows": LOOP.format(before="show_batch(batch)"),
    "a stranger that gets other entries": LOOP.format(before="mask(batch['input_ids'])"),
    "a stranger that gets a part of them": LOOP.format(before="meter.update(batch['labels'].size(0))"),
    "a stranger that returns something": LOOP.format(before="hidden = encode(batch)"),
    "a stranger behind the division": guarded("loss.backward()\nmask(batch)"),
    "a condition of the whole training": guarded("if model.training:\n    loss.backward()"),
    "a branch that runs backward too": guarded("if step:\n    loss.backward()\nelse:\n    (loss * 1).backward()"),
    "a branch that another function runs backward in": guarded(
        "if step:\n    loss.backward()\nelse:\n    backward(loss)"
    ),
    "a branch that raises": guarded("if step:\n    loss.backward()\nelse:\n    raise ValueError"),
    "a branch that raises on its line": guarded("if step: loss.backward()\nelse: print(); raise ValueError"),
    "a branch that leaves": guarded("if step:\n    loss.backward()\nelse:\n    print()\n    return"),
    "branches that all leave": guarded(
        "if step:\n    loss.backward()\nelif loss > 9:\n    break\nelse:\n    raise ValueError"
    ),
    "in the branch beside one that leaves": guarded("if loss > 9:\n    break\nelse:\n    loss.backward()"),
    "in the condition": guarded("if loss.backward() or step:\n    print()"),
}
HANDED = "could change its targets"
LEFT_OUT = "can leave micro-batches out of their window"
NOT_KEPT = {
    "a stranger": (LOOP.format(before="prepare(batch)"), HANDED),
    "a stranger that gets the targets": (LOOP.format(before="prepare(batch['labels'])"), HANDED),
    "a helper that sets an entry": (helped("batch['labels'] = 1"), HANDED),
    "a helper that sets an entry with another": (helped("[mean, batch['labels']] = 1, 2"), HANDED),
    "a helper that takes a pair apart into an entry": (helped("mean, batch['labels'] = pair"), HANDED),
    "a helper that sets an entry of its own state": (helped("self.batch['labels'] = 1"), HANDED),
    "a helper that sets an attribute": (helped("batch.labels = 1"), HANDED),
    "a helper that fills": (helped("batch['labels'].fill_(1)"), HANDED),
    "a helper that updates": (helped("batch.update(labels=1)"), HANDED),
    "a helper that calls what it is given": (helped("batch['mask'](1)"), HANDED),
    "a helper that hands on": (helped("mask(batch)"), HANDED),
    "a helper that hands the targets on": (helped("mask(batch['labels'].data)"), HANDED),
    "a helper that has a helper that sets an entry": (
        "def mask(rows):\n    rows['labels'][:, :4] = -100\n\n\n" + helped("mask(batch)"),
        HANDED,
    ),
    "a helper that calls itself and masks": (helped("prepare(batch); batch['labels'][0] = 1"), HANDED),
    "one of two functions of the name": (helped("batch.clear()") + "\n\n" + HELPER.format("print(batch)"), HANDED),
    "a condition of the round": (guarded("if step:\n    loss.backward()"), LEFT_OUT),
    "a condition of the loss": (guarded("if not loss.isnan():\n    loss.backward()"), LEFT_OUT),
    "around a condition of the training": (
        guarded("if step:\n    if model.training:\n        loss.backward()"),
        LEFT_OUT,
    ),
    "a branch that goes on": (guarded("if step:\n    loss.backward()\nelse:\n    continue"), LEFT_OUT),
    "a branch that steps over": (guarded("if step:\n    loss.backward()\nelse:\n    print()"), LEFT_OUT),
    "no last branch": (guarded("if step:\n    loss.backward()\nelif loss > 9:\n    raise ValueError"), LEFT_OUT),
    "the second of three branches": (
        guarded("if loss > 9:\n    raise ValueError\nelif step:\n    loss.backward()\nelse:\n    print()"),
        LEFT_OUT,
    ),
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_counted_ahead(text: str) -> None:
    assert "* share" in rewritten(text, "window-share", OPTIONS, **PLACES)


@pytest.mark.parametrize(("text", "reason"), NOT_KEPT.values(), ids=NOT_KEPT)
def test_not_counted_ahead(text: str, reason: str) -> None:
    assert reason in refusal(text, "window-share", OPTIONS, **PLACES)
