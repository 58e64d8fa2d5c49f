"""What does a project tell the numeric check? The release that it was written for, and models that take no count."""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.cli import confirm
from ga_lint.cli.confirm import of_project
from ga_lint.config import Config
from ga_lint.engine.scope import Scope
from ga_lint.project import Project
from ga_lint.source import decode
from ga_lint.verify import Site, sites_in

TRAINER = """\
from transformers import Trainer


class My(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs)["loss"]


def main(data):
    My(model=Net(), train_dataset=data).train()
"""
NET = """\
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def forward(self, input_ids, labels=None{}):
        logits = self.head(input_ids)
        return {{"loss": F.cross_entropy(logits, labels)}}


"""


def told(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, installed: str | None = "5.24.0") -> Site:
    monkeypatch.setattr(confirm, "_installed", lambda: installed)
    path = folder / "train.py"
    path.write_text(text)
    return of_project(sites_in(path, text)[0], decode(path, text.encode()), Scope(Config(root=folder), Project(folder)))


@pytest.mark.parametrize(
    ("requirement", "excluded"),
    [
        ("transformers==4.37.2", True),
        ("transformers>=4.40,<5", True),
        ("transformers>=4.40", False),
        ("transformers==5.24.0", False),
        ("transformers", False),
        ("torch==2.1", False),
    ],
)
def test_release_that_the_project_excludes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirement: str, excluded: bool
) -> None:
    (tmp_path / "requirements.txt").write_text(f"numpy\n{requirement}\n")
    expected = f"run on transformers 5.24.0, which `{requirement}` (requirements.txt:2) does not admit"
    assert told(tmp_path, TRAINER, monkeypatch).notes == ((expected,) if excluded else ())
    assert told(tmp_path, TRAINER, monkeypatch, installed=None).notes == ()


@pytest.mark.parametrize(("keywords", "withheld"), [("", True), (", **kwargs", False)])
def test_model_that_takes_no_count_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keywords: str, withheld: bool
) -> None:
    site = told(tmp_path, NET.format(keywords) + TRAINER, monkeypatch)
    assert site.withheld is withheld
    assert told(tmp_path, TRAINER, monkeypatch).withheld is False  # no model is found
