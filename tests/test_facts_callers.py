"""What do the files that call a loop say about it, where its own file does not tell what it trains?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.facts.model import Level, LossSite
from testbed.seen import facts_in, loop

OWN = loop("loss = model(**batch).loss")
MAIN = """\
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, DataCollatorForSeq2Seq
from {module} import train

train({model}.from_pretrained("x"), DataLoader(rows, collate_fn=DataCollatorForSeq2Seq(tok)), opt, 4, cfg)
"""
TOKENS = MAIN.format(module="train", model="AutoModelForCausalLM")
SAMPLES = MAIN.format(module="train", model="AutoModelForSequenceClassification")
METHOD = """\
class Loop:
    def run(self, loader, optimizer, steps):
        for step, batch in enumerate(loader):
            loss = self.loss_of(batch)
            loss.backward()
            if (step + 1) % steps == 0:
                optimizer.step()
                optimizer.zero_grad()
"""
HEIR = """\
import torch.nn.functional as F
from train import Loop

class Heir(Loop):
    def loss_of(self, batch):
        return F.cross_entropy(self.net(batch["x"]), batch["labels"])
"""


def sites(folder: Path, files: dict[str, str], text: str = OWN) -> list[LossSite]:
    for name, content in {"train.py": text, **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    windows = facts_in(text, folder).windows
    return [term.site for window in windows for terms in window.losses for term in terms]


@pytest.mark.parametrize(
    ("files", "levels"),
    [
        ({}, ["unknown"]),
        ({"main.py": TOKENS}, ["token"]),
        ({"main.py": SAMPLES}, ["sample"]),
        ({"scripts/main.py": SAMPLES}, ["sample"]),
        ({".old/main.py": SAMPLES}, ["unknown"]),
        ({"node_modules/main.py": SAMPLES}, ["unknown"]),
        ({"main.py": TOKENS.replace("from train", "from other")}, ["unknown"]),
        ({"main.py": "def train(*args):\n    return args\n\ntrain(1)\n"}, ["unknown"]),
        ({"main.py": TOKENS + "\ndef broken(:\n"}, ["unknown"]),
        ({"a.py": "def train(:\n", "main.py": TOKENS}, ["token"]),
        ({"main.py": TOKENS, "eval.py": SAMPLES}, ["sample", "token"]),
        ({"bin/main.py": TOKENS}, ["token"]),
        ({"main.py": TOKENS.replace("\ntrain(", "\nprint(")}, ["unknown"]),
    ],
)
def test_callers(files: dict[str, str], levels: list[str], tmp_path: Path) -> None:
    assert sorted(one.level.value for one in sites(tmp_path, files)) == levels


def test_the_nearest_three_are_followed(tmp_path: Path) -> None:
    near = {f"near{number}.py": TOKENS for number in range(3)}
    assert {one.level for one in sites(tmp_path, {**near, "a_far/main.py": SAMPLES})} == {Level.TOKEN}


def test_a_loop_that_knows_its_loss_asks_nobody(tmp_path: Path) -> None:
    decided = loop("loss = F.cross_entropy(model(1).view(-1, 9), batch['labels'], ignore_index=0)")
    assert [one.callee for one in sites(tmp_path, {"main.py": SAMPLES}, decided)] == [
        "torch.nn.functional.cross_entropy"
    ]


@pytest.mark.parametrize(
    ("heir", "found"),
    [
        (HEIR, True),
        (HEIR.replace("from train import Loop", "import train").replace("(Loop)", "(train.Loop)"), True),
        (HEIR.replace("from train", "from other"), False),
        (HEIR.replace("(Loop)", "(Other)"), False),
        (HEIR.replace("loss_of", "other_loss"), False),
    ],
)
def test_classes_that_extend_the_loops_own(heir: str, found: bool, tmp_path: Path) -> None:
    assert bool(sites(tmp_path, {"heir.py": heir}, METHOD)) is found
