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


FUNCTION = """
def token_loss(outputs, labels, num_items_in_batch=None):
    logits, targets = outputs.logits[:, :-1], labels[:, 1:]
    losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    if logits.is_cuda:
        {first}
    return losses[targets != -100].mean()


def build(model, args, data):
    return Trainer(model=model, args=args, train_dataset=data, compute_loss_func=token_loss)
"""
BRANCHES = {
    "another library's": ("return fused(logits, targets)", "what line 11 returns could not be followed"),
    "over all positions": ("return (losses * (targets != -100)).mean()", "the mean on line 11 is over all positions"),
    "another index": (
        "return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)",
        "the branch on line 11: the loss ignores `0`",
    ),
    "over a number of its own": (
        "return losses[targets != -100].mean() / logits.size(0)",
        "the branch on line 11: the loss is scaled by something",
    ),
    "a penalty": (
        "return losses[targets != -100].mean() + 0.1 * logits.square().mean()",
        "the loss on line 11 is one part of a larger expression",
    ),
}


@pytest.mark.parametrize(("first", "reason"), BRANCHES.values(), ids=BRANCHES)
def test_one_branch_of_a_loss_function(first: str, reason: str, tmp_path: Path) -> None:
    plain = FUNCTION.format(first="return losses[targets != -100].mean()")
    assert not refusals("GA206", plain, tmp_path)
    said = refusals("GA206", FUNCTION.format(first=first), tmp_path)
    assert said and all(reason in one for one in said)


def test_a_loss_function_that_is_not_followed(tmp_path: Path) -> None:
    """The Trainer cannot even call it; what it returns is out of sight."""
    text = """
def token_loss(outputs, labels):
    return fused(outputs.logits, labels)


def build(model, args, data):
    return Trainer(model=model, args=args, train_dataset=data, compute_loss_func=token_loss)
"""
    assert refusals("GA206", text, tmp_path) == ["the loss that it returns could not be followed"]


def test_a_lambda_has_no_room(tmp_path: Path) -> None:
    text = """
def build(model, args, data):
    return Trainer(model=model, args=args, train_dataset=data, compute_loss_func=lambda outputs, labels, **kwargs: (
        F.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten())
    ))
"""
    [said] = refusals("GA206", text, tmp_path)
    assert "a lambda has no room" in said


GATHERED = """
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        losses = []
        for i in range(labels.size(0)):
            one = F.cross_entropy(logits[i, :-1], {targets})
            losses.append(one)
        return torch.stack(losses).mean()
"""


def test_gathered_means_of_parts(tmp_path: Path) -> None:
    """Divided by the count and by how many parts there are, the loss would be too small."""
    assert not refusals("GA202", GATHERED.format(targets="labels[:, 1:].flatten()"), tmp_path)
    [said] = refusals("GA202", GATHERED.format(targets="labels[i, 1:]"), tmp_path)
    assert "the means of several parts of the batch are gathered" in said


STEP = """
class Custom(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        total = 0
        for part in self.parts(self._prepare_inputs(inputs)):
            loss = self.compute_loss(model, part)
            {gather}
        {then}
        return loss.detach()
"""


def test_gathered_losses_of_a_step(tmp_path: Path) -> None:
    one_by_one = STEP.format(gather="self.accelerator.backward(loss)", then="pass")
    assert not refusals("GA219", one_by_one, tmp_path)
    [said] = refusals("GA219", STEP.format(gather="total += loss", then="self.accelerator.backward(total)"), tmp_path)
    assert "with a count each is its part's share already" in said


def test_a_step_whose_loss_is_scaled(tmp_path: Path) -> None:
    scaled = "loss = loss * self.weight\n            self.accelerator.backward(loss)"
    [said] = refusals("GA219", STEP.format(gather=scaled, then="pass"), tmp_path)
    assert "scaled by something whose meaning is not known" in said


DIVIDED = """
class Custom(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        inputs = self._prepare_inputs(inputs)
        loss = self.compute_loss(model, inputs)
        {more}
        loss = loss / self.args.gradient_accumulation_steps
        self.accelerator.backward(loss)
        {after}
        return loss.detach()
"""
OTHER = 'F.mse_loss(model(**inputs).logits, inputs["x"])'


@pytest.mark.parametrize(
    ("more", "after", "reason"),
    [
        ("loss = loss * 0.5", "pass", ""),
        ("loss = loss * self.weight", "pass", "scaled by something whose meaning is not known"),
        (f"loss = loss + {OTHER}", "pass", "backward is handed other losses too"),
        (f"if self.x:\n            loss = loss + {OTHER}", "pass", "backward is handed other losses too"),
        ("pass", f"self.accelerator.backward({OTHER})", "backward is handed other losses too"),
    ],
)
def test_a_step_that_divides_by_the_steps_itself(more: str, after: str, reason: str, tmp_path: Path) -> None:
    said = refusals("GA203", DIVIDED.format(more=more, after=after), tmp_path)
    assert len(said) == bool(reason) and all(reason in one for one in said)


TIMES_RANKS = " * self.accelerator.num_processes"
CE = "F.cross_entropy(logits.flatten(0, 1), labels.flatten())"
HEADS = "model.loss_function(logits, labels, model.config.vocab_size)"
OWN_LOSS = """
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False{parameter}):
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        {lines}
        return loss
"""
COUNT = ", num_items_in_batch=None"
BY_RANKS = "the loss is multiplied by the number of ranks"


@pytest.mark.parametrize(
    ("code", "lines", "reasons"),
    [
        ("GA201", f"loss = {CE}", []),
        ("GA201", f"loss = {CE}{TIMES_RANKS}", [BY_RANKS]),
        ("GA201", f"loss = super().compute_loss(model, inputs){TIMES_RANKS}", [BY_RANKS]),
        ("GA202", f"loss = {HEADS}", []),
        ("GA202", f"loss = {HEADS}{TIMES_RANKS}", [BY_RANKS]),  # the rewrite multiplies by them
        ("GA202", f"loss = {CE} if self.args.x else model(**inputs).loss", ["the loss has several terms"] * 2),
        ("GA202", f"loss = {CE} + model(**inputs).loss", ["the loss has several terms"] * 2),
    ],
)
def test_losses_that_an_override_scales_or_mixes(code: str, lines: str, reasons: list[str], tmp_path: Path) -> None:
    found = refusals(code, OWN_LOSS.format(parameter=COUNT if code == "GA202" else "", lines=lines), tmp_path)
    assert [reason in one for reason, one in zip(reasons, found, strict=True)] == [True] * len(reasons), found


HELPED = """from accelerate import Accelerator


def scaled(loss):
    return loss / 4

"""
MANAGED = """
def {name}(model, loader, optimizer, steps):
    accelerator = Accelerator(gradient_accumulation_steps={steps})
    for batch in loader:
        with accelerator.accumulate(model):
            loss = scaled(F.cross_entropy(model(batch["x"]), batch["y"]{options}))
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()

"""
NEEDED = "another backward is handed the same loss, and may need this division"


@pytest.mark.parametrize(
    ("steps", "options", "reasons"),
    [
        ("4", "", []),
        ("steps", "", [NEEDED]),  # 4 may be another number
        ("4", ', reduction="sum"', [NEEDED]),  # which the library alone does not make a mean
    ],
)
def test_a_division_that_another_loop_needs(steps: str, options: str, reasons: list[str], tmp_path: Path) -> None:
    first = MANAGED.format(name="first", steps="4", options="")
    second = MANAGED.format(name="second", steps=steps, options=options)
    assert refusals("GA103", HELPED + first + second, tmp_path) == reasons
