"""Which places of a file does verify look at?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.verify import SiteKind, site_at, sites_in

FILE = Path("train.py")


def kinds(source: str) -> list[tuple[SiteKind, str, int]]:
    return [(site.kind, site.scope, site.row) for site in sites_in(FILE, source)]


def test_not_python() -> None:
    assert sites_in(FILE, "def f(:") == ()


@pytest.mark.parametrize(
    "source",
    [
        "class Module(LightningModule):\n    def training_step(self, batch, batch_idx):\n        return self(batch)\n",
        "class Trainer:\n    def compute_loss(self, model, inputs):\n        return 0\n",
        "class Metric(Base):\n    def compute_loss(self, model, inputs):\n        return 0\n",
        "for batch in loader:\n    model(batch).loss.backward()\n    optimizer.step()\n",
        "def count(num_items_in_batch):\n    return num_items_in_batch\n",
        "while accumulating:\n    print(1)\n",
    ],
    ids=["lightning", "no bases", "no trainer", "a step for every batch", "no labels", "no backward"],
)
def test_not_a_site(source: str) -> None:
    assert kinds(source) == []


def test_override_in_a_class_inside_a_function() -> None:
    source = """\
def build():
    class Mine(SFTTrainer):
        def compute_loss(self, model, inputs):
            return 0
"""
    assert kinds(source) == [(SiteKind.TRAINER, "build.Mine.compute_loss", 3)]


def test_loss_function() -> None:
    source = "def loss(outputs, labels, *, num_items_in_batch=None):\n    return 0\n"
    assert kinds(source) == [(SiteKind.LOSS_FUNCTION, "loss", 1)]


LOOP = """\
def train(loader, steps):
    for step, batch in enumerate(loader):
        loss = model(batch).loss / 8
        loss.backward()
        if (step + 1) % 8 == 0:
            optimizer.step()
"""


def test_loop_is_found_by_its_gate() -> None:
    assert kinds(LOOP) == [(SiteKind.LOOP, "train", 4)]


def test_loop_in_a_loop_is_one_site() -> None:
    nested = "for epoch in epochs:\n" + "".join(f"    {line}\n" for line in LOOP.splitlines()[1:])
    assert [site[0] for site in kinds(nested)] == [SiteKind.LOOP]


def test_engine_needs_no_gate() -> None:
    source = "for batch in loader:\n    engine.backward(engine(batch))\n    engine.step()\n"
    assert kinds(source) == [(SiteKind.LOOP, "", 2)]


def test_site_around_a_finding() -> None:
    source = LOOP + "\n\ndef loss(logits, labels, num_items_in_batch):\n    return 0\n"
    found = site_at(FILE, source, 3)
    assert found is not None and (found.kind, found.row, found.original) == (SiteKind.LOOP, 4, source)
    other = site_at(FILE, source, 10)
    assert other is not None and other.kind is SiteKind.LOSS_FUNCTION
    assert site_at(FILE, source, 8) is None


def test_window_that_is_a_list_is_a_site() -> None:
    source = """
def train(loader, n):
    while window := list(itertools.islice(loader, n)):
        for batch in window:
            (model(batch).loss / n).backward()
        optimizer.step()
"""
    assert kinds(source) == [(SiteKind.LOOP, "train", 5)]
    assert kinds(source.replace("        optimizer.step()", "            optimizer.step()")) == []
