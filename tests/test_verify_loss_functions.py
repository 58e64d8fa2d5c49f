"""In which forms is a loss function run, and what does it lack when it is not?"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from ga_lint.verify import Outcome, Verdict, Verifier, sites_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom transformers import Trainer\n"
COUNTED = "loss.sum() / num_items_in_batch if num_items_in_batch is not None else loss.sum() / (targets != -100).sum()"
MEAN = "loss.sum() / (targets != -100).sum()"
PER_TOKEN = """
        logits, targets = outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        loss = F.cross_entropy(logits, targets, reduction="none", ignore_index=-100)
        loss = (1 - torch.exp(-loss)) ** {gamma} * loss
        return {returned}
"""
FORMS = {
    "a module's forward": (
        "class FocalLoss(nn.Module):\n"
        "    def __init__(self, gamma=2.0):\n        super().__init__()\n        self.gamma = gamma\n\n"
        "    def forward(self, outputs, labels, num_items_in_batch=None):" + PER_TOKEN,
        "self.gamma",
    ),
    "a function that another one makes": (
        "def make_loss(gamma):\n    def inner(outputs, labels, num_items_in_batch=None):"
        + PER_TOKEN
        + "\n    return inner\n",
        "gamma",
    ),
    "a method of a Trainer": (
        "class Custom(Trainer):\n"
        "    def __init__(self, *args, **kwargs):\n"
        "        super().__init__(*args, compute_loss_func=self.focal_loss, **kwargs)\n\n"
        "    def focal_loss(self, outputs, labels, num_items_in_batch=None):" + PER_TOKEN,
        "2",
    ),
}


def verdict_of(verifier: Verifier, text: str) -> Verdict:
    (site,) = sites_in(Path("losses.py"), dedent(text))
    return verifier.verify(site)


@pytest.mark.parametrize(("form", "gamma"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("returned", "outcome"), [(COUNTED, Outcome.CORRECT), (MEAN, Outcome.MISSING_DIVISION)], ids=["counted", "mean"]
)
def test_forms(verifier: Verifier, form: str, gamma: str, returned: str, outcome: Outcome) -> None:
    verdict = verdict_of(verifier, HEAD + form.format(gamma=gamma, returned=returned))
    assert verdict.outcome is outcome, verdict.reason


def test_a_method_that_needs_what_its_constructor_would_set(verifier: Verifier) -> None:
    form, _ = FORMS["a method of a Trainer"]
    verdict = verdict_of(verifier, HEAD + form.format(gamma="self.args.gamma", returned=COUNTED))
    assert verdict.outcome is Outcome.NOT_VERIFIABLE
    assert "args" in (verdict.reason or "")


def test_a_closure_that_is_wrapped_before_it_is_returned(verifier: Verifier) -> None:
    form, gamma = FORMS["a function that another one makes"]
    text = form.format(gamma=gamma, returned=COUNTED).replace(
        "return inner", "return lambda *a, **k: 2 * inner(*a, **k)"
    )
    verdict = verdict_of(verifier, HEAD + text)
    assert verdict.outcome is Outcome.NOT_VERIFIABLE
    assert "`inner` to be what `make_loss` returns" in (verdict.reason or "")
