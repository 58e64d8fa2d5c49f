"""Does a finding say what the fault does in the project's release, with the numbers that stand in the code?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ga_lint.cli.impact import stated_law
from ga_lint.cli.judged import is_cleared
from ga_lint.config import Config
from ga_lint.diagnostics import EffectKind, Finding
from ga_lint.engine.check_file import check_source
from ga_lint.engine.scope import Scope
from ga_lint.project import Project
from ga_lint.source import decode
from ga_lint.verify import Outcome, Site, SiteKind, Verdict
from ga_lint.verify.impact import Law
from testbed.fixtures import all_fixtures, check, diagnostics

HEAD = """import torch.nn.functional as F
from transformers import Trainer, TrainingArguments

"""
IGNORED = """
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs.logits[:, :-1].flatten(0, 1)
        loss = F.cross_entropy(logits, labels[:, 1:].flatten())
        return (loss, outputs) if return_outputs else loss
"""
FUNCTION = """
def mean(outputs, labels, num_items_in_batch=None):
    return F.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def build(model, args):
    return Trainer(model=model, args=args, compute_loss_func=mean)
"""
USED = """
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs.logits[:, :-1].flatten(0, 1)
        reduction = "mean" if num_items_in_batch is None else "sum"
        loss = F.cross_entropy(logits, labels[:, 1:].flatten(), reduction=reduction)
        if num_items_in_batch is not None:
            loss = loss / num_items_in_batch
        return (loss, outputs) if return_outputs else loss
"""
EIGHT = 'args = TrainingArguments("out", gradient_accumulation_steps=8)\n'
TWO_NUMBERS = EIGHT + 'others = TrainingArguments("out", gradient_accumulation_steps=4)\n'
FROM_OUTSIDE = 'args = TrainingArguments("out", gradient_accumulation_steps=options.steps)\n'
RANKS = "gradients are 8 times too large, 16 times on 2 ranks; on N ranks the eval loss is N times too large"


def finding(code: str, text: str, folder: Path, requirement: str) -> Finding:
    (folder / "requirements.txt").write_text(requirement)
    path = folder / "train.py"
    path.write_text(HEAD + text)
    [found] = [one.finding for one in diagnostics(check(path, folder)) if one.finding.code == code]
    return found


@pytest.mark.parametrize(
    ("text", "said", "value"),
    [
        pytest.param(IGNORED, "gradients are as many times too large as there are accumulation steps", None, id="none"),
        pytest.param(IGNORED + EIGHT, "gradients are 8 times too large", 8.0, id="literal"),
        pytest.param(
            IGNORED + TWO_NUMBERS,
            "gradients are as many times too large as there are accumulation steps",
            None,
            id="two numbers",
        ),
        pytest.param(
            IGNORED + FROM_OUTSIDE,
            "gradients are as many times too large as there are accumulation steps",
            None,
            id="from outside",
        ),
    ],
)
def test_the_steps_are_named_where_the_code_names_them(
    text: str, said: str, value: float | None, tmp_path: Path
) -> None:
    effect = finding("GA202", text, tmp_path, "transformers==5.23.0").effect
    assert (effect.message, effect.factor, effect.value) == (said, "GAS", value)


def test_ranks_and_the_eval_loss_are_named_too(tmp_path: Path) -> None:
    effect = finding("GA206", FUNCTION + EIGHT, tmp_path, "transformers==5.23.0").effect
    assert (effect.message, effect.factor) == (RANKS, "GAS*N")


def test_a_factor_of_the_ranks_alone(tmp_path: Path) -> None:
    effect = finding("GA204", USED + EIGHT, tmp_path, "transformers==5.23.0").effect
    assert effect.message == "on N ranks gradients are N times too small, and so is the eval loss"
    assert (effect.factor, effect.value) == ("1/N", None)


@pytest.mark.parametrize(
    ("requirement", "kind", "said"),
    [
        (
            "transformers==5.3.0",
            EffectKind.WEIGHTS,
            "tokens of short micro-batches weigh more than tokens of long ones",
        ),
        ("transformers==4.57.6", EffectKind.SCALE, "gradients are 8 times too large"),
        ("transformers>=5.2,<5.5.4", EffectKind.WEIGHTS, "tokens of short micro-batches weigh more than"),
        ("transformers>=5.2", EffectKind.SCALE, "gradients are 8 times too large"),  # the newest that is admitted
    ],
)
def test_the_release_decides(requirement: str, kind: EffectKind, said: str, tmp_path: Path) -> None:
    """In 5.2.0-5.5.3 accelerate happens to divide what the override does not."""
    effect = finding("GA202", IGNORED + EIGHT, tmp_path, requirement).effect
    assert effect.kind is kind and effect.message.startswith(said)


def test_a_release_that_differs_is_named(tmp_path: Path) -> None:
    effect = finding("GA202", IGNORED + EIGHT, tmp_path, "transformers==5.3.0").effect
    assert effect.message.endswith("(transformers 5.2.0-5.5.3)")
    old = finding("GA206", FUNCTION + EIGHT, tmp_path, "transformers==4.53.3").effect
    assert old.message.startswith("gradients are 8 times too large") and old.factor == "GAS"  # no factor of the ranks


SMOOTHED = """
def main(model, data):
    args = TrainingArguments("out", gradient_accumulation_steps=8, label_smoothing_factor=0.1)
    Trainer(model=model, args=args, train_dataset=data).train()
"""


@pytest.mark.parametrize(
    ("configured", "said"),
    [
        ("5.12.1", "judged against transformers 5.12.1, as configured"),
        (None, "`transformers==5.12.1` is required"),
    ],
)
def test_the_trace_says_who_names_the_release(configured: str | None, said: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("transformers==5.12.1")
    source = decode(tmp_path / "train.py", (HEAD + SMOOTHED).encode())
    scope = Scope(Config(root=tmp_path), Project(tmp_path, configured))
    [found] = [one.finding for one in diagnostics(check_source(source, scope)) if one.finding.code == "GA402"]
    assert found.trace[0].message == said


# What each rule's own fixture states of sizes and weights, and whether one process can withdraw it.
STATED: dict[str, tuple[Law | None, bool]] = {
    "GA101": (Law(mean_of_means=True), True),
    "GA102": (Law("GAS", mean_of_means=True), True),
    "GA103": (Law("1/GAS"), True),
    "GA104": (None, False),
    "GA105": (Law("1/(GAS*N)"), False),
    "GA107": (None, False),
    "GA109": (None, True),
    "GA202": (Law("GAS", mean_of_means=True), True),
    "GA204": (Law("1/N"), False),
    "GA206": (Law("GAS*N", mean_of_means=True), False),
    "GA217": (Law("GAS*N", mean_of_means=True), False),
    "GA218": (None, False),
    "GA301": (Law(mean_of_means=True), True),
}


def found_in_fixtures(code: str) -> Iterator[Finding]:
    """What the rule reports of the fixtures in its own folder."""
    for fixture in all_fixtures():
        if str(fixture).startswith(code):
            found = diagnostics(check(fixture.path, fixture.project))
            yield from (one.finding for one in found if one.finding.code == code)


@pytest.mark.parametrize("code", STATED)
def test_what_a_finding_states_of_sizes_and_weights(code: str) -> None:
    found = next(found_in_fixtures(code))
    in_one_process = Verdict(Site(Path("train.py"), SiteKind.LOOP, "", 1, ""), Outcome.CORRECT)
    assert (stated_law(found), is_cleared(found, in_one_process)) == STATED[code]


def test_a_mean_and_what_comes_in_with_it_are_told_apart() -> None:
    """GA213: the one has another weight for each micro-batch, the other is only too large."""
    found = list(found_in_fixtures("GA213"))
    told = {("mean over" in one.message, law.mean_of_means) for one in found if (law := stated_law(one))}
    assert told == {(True, True), (False, False)}
