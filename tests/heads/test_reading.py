"""Does the reader see what becomes of the count? On small packages that are laid out as transformers is."""

from __future__ import annotations

from pathlib import Path

import pytest

from heads.package import Package
from heads.reading import Verdict
from heads.scan import readings

LOSSES = """
def fixed_cross_entropy(source, target, num_items_in_batch=None, **kwargs): ...

def ForCausalLMLoss(logits, labels, num_items_in_batch=None, **kwargs):
    return fixed_cross_entropy(logits, labels, num_items_in_batch)

LOSS_MAPPING = {"ForCausalLM": ForCausalLMLoss, "ForCTC": ForCTCLoss}
"""
UTILS = "class PreTrainedModel:\n    def forward(self): ...\n"
HEADER = "from ...modeling_utils import PreTrainedModel\n"
HEAD = """
class ThingForCausalLM(PreTrainedModel):
    {extra}
    def forward(self, input_ids, labels: {annotation} = None, {keywords}):
        logits = self.model(input_ids{passed})
        loss = None
        if labels is not None:
            {loss}
        return Output(loss=loss, logits=logits)
"""
USES, DROPS = "loss = self.loss_function(logits, labels, **kwargs)", "loss = self.loss_function(logits, labels)"
OWN = "loss_fct = CrossEntropyLoss()\n            loss = loss_fct(logits.view(-1, 9), labels.view(-1))"
POPPED = "n = kwargs.pop('num_items_in_batch', None)\n            loss = self.loss_function(logits, labels, n)"
OTHER = "weight = kwargs.get('weight')\n            loss = cross_entropy(logits, labels, weight)"
INNER = "loss = self.head(logits, labels=labels{passed}).loss"
CHOSEN = "loss = nn.functional.ctc_loss(logits, labels, reduction=self.config.ctc_loss_reduction)"


def package(folder: Path, release: str, model: str) -> Package:
    for name, text in {
        "__init__": f'__version__ = "{release}"\n',
        "loss/loss_utils": LOSSES,
        "modeling_utils": UTILS,
        "models/thing/modeling_thing": HEADER + model,
    }.items():
        path = folder / "transformers" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Package(folder)


DEFAULTS = {"keywords": "**kwargs", "extra": "", "annotation": "Tensor", "passed": ""}


def head(loss: str, **parts: str) -> str:
    return HEAD.format(**{**DEFAULTS, "loss": loss, **parts})


CASES = {
    "hands the keywords on": (head(USES), Verdict.USES),
    "hands nothing on": (head(DROPS), Verdict.DROPS),
    "a loss of torch": (head(OWN), Verdict.DROPS),
    "the keywords go to the network": (head(OWN, passed=", **kwargs"), Verdict.DROPS),
    "takes the count out of the keywords": (head(POPPED), Verdict.USES),
    "takes another key out of them": (head(OTHER), Verdict.DROPS),
    "the configuration chooses the reduction": (head(CHOSEN), Verdict.CONFIG),
    "computes no loss": (head("pass"), Verdict.NONE),
    "a second loss without it": (
        head(f"{USES}\n            aux_loss = CrossEntropyLoss()(logits, labels)"),
        Verdict.MIXED,
    ),
    "no keywords": (head(DROPS, keywords="mask=None"), Verdict.UNCOUNTED),
    "opts out": (head(DROPS, extra="accepts_loss_kwargs = False"), Verdict.UNCOUNTED),
    "opts in": (head(DROPS, keywords="mask=None", extra="accepts_loss_kwargs = True"), Verdict.DROPS),
    "labels in a list": (head(OWN, annotation="list[dict]"), Verdict.UNCOUNTED),
    "a loss function without a count": (head(USES).replace("ThingForCausalLM", "ThingForCTC"), Verdict.DROPS),
}


@pytest.mark.parametrize(("model", "verdict"), CASES.values(), ids=CASES)
def test_one_class(tmp_path: Path, model: str, verdict: Verdict) -> None:
    (reading,) = readings(package(tmp_path, "5.0.0", model)).values()
    assert reading.verdict is verdict, reading.why


def test_an_inherited_forward(tmp_path: Path) -> None:
    heirs = head(DROPS) + "\nclass HeirForCausalLM(ThingForCausalLM): ...\nclass _Private(ThingForCausalLM): ...\n"
    opted_out = "\nclass OutForCausalLM(ThingForCausalLM):\n    accepts_loss_kwargs = False\n"
    found = readings(package(tmp_path, "5.0.0", heirs + opted_out))
    assert {name: one.verdict for name, one in found.items()} == {
        "ThingForCausalLM": Verdict.DROPS,
        "HeirForCausalLM": Verdict.DROPS,
        "OutForCausalLM": Verdict.UNCOUNTED,
    }


@pytest.mark.parametrize(
    ("inner", "passed", "verdict"),
    [(USES, ", **kwargs", Verdict.USES), (USES, "", Verdict.DROPS), (OWN, ", **kwargs", Verdict.DROPS)],
)
def test_an_inner_model_computes_the_loss(tmp_path: Path, inner: str, passed: str, verdict: Verdict) -> None:
    built = "def __init__(self, config):\n        self.head = InnerForCausalLM(config)\n"
    outer = head(INNER.format(passed=passed), extra=built)
    both = head(inner).replace("Thing", "Inner") + outer
    assert readings(package(tmp_path, "5.0.0", both))["ThingForCausalLM"].verdict is verdict


@pytest.mark.parametrize(
    ("release", "keywords", "verdict"),
    [
        ("4.46.3", "**kwargs", Verdict.UNCOUNTED),
        ("4.46.3", "**loss_kwargs", Verdict.DROPS),
        ("4.47.1", "**kwargs", Verdict.DROPS),
    ],
)
def test_the_name_of_the_keywords_once_mattered(tmp_path: Path, release: str, keywords: str, verdict: Verdict) -> None:
    (reading,) = readings(package(tmp_path, release, head(DROPS, keywords=keywords))).values()
    assert reading.verdict is verdict
