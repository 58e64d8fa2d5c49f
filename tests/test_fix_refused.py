"""Which reason does a rule of the Trainer family give where no rewrite is surely right?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.config import Config
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Found
from ga_lint.project import Project

HEAD = """import torch
import torch.nn as nn
import torch.nn.functional as F
from transformers import Trainer, TrainingArguments

"""


def refusals(code: str, text: str, folder: Path, requirement: str = "transformers==5.23.0") -> list[str]:
    """Why each finding of this rule is not rewritten; what is rewritten is no refusal."""
    (folder / "requirements.txt").write_text(requirement)
    scope = Scope(Config(root=folder), Project(folder))
    outcome, _ = fix_bytes(folder / "train.py", (HEAD + text).encode(), scope, Policy(unsafe=True, write=False))
    found = outcome.diagnostics if isinstance(outcome, Found) else ()
    return [one.finding.fix_refusal or "" for one in found if one.finding.code == code]


WITHHELD = """
class Net(nn.Module):
    def forward(self, input_ids, labels=None{more}):
        return self.body(input_ids)


class Custom(Trainer):
{init}    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
{first}        loss = F.cross_entropy(model(**inputs).flatten(0, 1), labels.flatten(), reduction="sum")
        loss = {divided}
        return loss


def main(args, data):
    Custom(model=Net(), args=args, train_dataset=data).train()
"""
PLAIN = {"more": "", "init": "", "first": "", "divided": "loss / (num_items_in_batch or (labels != -100).sum())"}
WITHHELD_FORMS = {
    "super on one path": (
        {"first": "        if self.args.plain:\n            return super().compute_loss(model, inputs, **inputs)\n"},
        "super() would hand the count to the model's forward",
    ),
    "the model is handed the count": (
        {
            "more": ", num_items_in_batch=None",
            "first": "        loss = model(**inputs, labels=labels, num_items_in_batch=num_items_in_batch).loss\n"
            "        if self.args.plain:\n            return loss\n",
        },
        "whose forward has to take **kwargs",
    ),
    "a term of each forward": (
        {"divided": PLAIN["divided"] + " + 0.1 * model(**inputs).square().mean()"},
        "would be added once for every micro-batch",
    ),
    "no super().__init__ on a line of its own": (
        {"init": "    def __init__(self, **given):\n        if given:\n            super().__init__(**given)\n\n"},
        "__init__ does not call super().__init__ on a line of its own",
    ),
    "another count where there is none": (
        {
            "first": "        if num_items_in_batch is None:\n"
            "            num_items_in_batch = (labels != -100).sum()\n",
            "divided": "loss / num_items_in_batch",
        },
        "becomes another count on line",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), WITHHELD_FORMS.values(), ids=WITHHELD_FORMS)
def test_a_count_that_is_withheld(changes: dict[str, str], reason: str, tmp_path: Path) -> None:
    assert not refusals("GA221", WITHHELD.format(**PLAIN), tmp_path)  # without the change it is rewritten
    [said] = refusals("GA221", WITHHELD.format(**PLAIN | changes), tmp_path)
    assert reason in said


def test_a_release_that_passes_no_count_to_those_who_take_it(tmp_path: Path) -> None:
    text = WITHHELD.format(**PLAIN)
    [said] = refusals("GA221", text, tmp_path, "transformers==4.48.0")
    assert "4.48.0 passes no count to a model that takes one" in said
