"""Which trainers can be run, and what hangs on what they leave open? Each mechanism is right, wrong and refused."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from ga_lint.verify import Outcome, Verdict, Verifier, sites_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

CORRECT, WRONG, UNDIVIDED = Outcome.CORRECT, Outcome.WRONG, Outcome.MISSING_DIVISION
OPEN, LACKS = Outcome.INCONCLUSIVE, Outcome.NOT_VERIFIABLE


def verdict_of(verifier: Verifier, source: str, path: Path = Path("train.py")) -> Verdict:
    found = sites_in(path, dedent(source))
    assert len(found) == 1, found
    return verifier.verify(found[0])


TAKES = "model, inputs, return_outputs=False, num_items_in_batch=None"


def trainer(
    body: str, *, name: str = "My", base: str = "Trainer", before: str = "", extra: str = "", takes: str = TAKES
) -> str:
    """A class whose compute_loss is these lines."""
    return f"""
import torch
import torch.nn.functional as F
from transformers import Trainer
{dedent(before)}

class {name}Trainer({base}):
{indent(dedent(extra), "    ")}
    def compute_loss(self, {takes}):
{indent(dedent(body), "        ")}
"""


SEQUENCES = "from transformers import AutoModelForSequenceClassification"
CAUSAL = "from transformers import AutoModelForCausalLM"
OPTS_OUT = """
def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    {}self.model_accepts_loss_kwargs = False
"""
SCORES = """
better = model(input_ids=inputs["input_ids_chosen"], attention_mask=inputs["attention_mask_chosen"])["logits"]
worse = model(input_ids=inputs["input_ids_rejected"], attention_mask=inputs["attention_mask_rejected"])["logits"]
loss = -F.logsigmoid(better - worse).mean()
"""
NEIGHBOURS = """
scores = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]
first = torch.arange(0, scores.size(0), 2)
loss = -F.logsigmoid(scores[first] - scores[first + 1])
"""
HALVES = """
logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
logps = logits[:, :-1].log_softmax(-1).gather(-1, inputs["input_ids"][:, 1:, None])[..., 0]
mask = inputs["completion_mask"][:, 1:]
"""
COMPARED = """
with torch.no_grad():
    logits = self.ref_model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    before = logits[:, :-1].log_softmax(-1).gather(-1, inputs["input_ids"][:, 1:, None])[..., 0]
better, worse = (((logps - before) * mask).sum(1)).chunk(2, dim=0)
return -F.logsigmoid(0.1 * (better - worse)).mean()
"""
VALUES = """
_, _, values = model(**inputs, use_cache=False)
size = inputs["input_ids"].size(0) // 2
last = inputs["attention_mask"].sum(-1, keepdim=True) - 1
better, worse = values.gather(-1, last).split(size)
loss = -F.logsigmoid(better - worse)
"""
LABELLED = """
labels = inputs.pop("labels"{})
logits = model(**inputs).logits
logps = logits[:, :-1].log_softmax(-1).gather(-1, inputs["input_ids"][:, 1:, None])[..., 0]
chosen, rejected = torch.chunk((logps * inputs["attention_mask"][:, 1:]).sum(1), 2)
return -F.logsigmoid(0.1 * (chosen - rejected)).mean()
"""
PAIRS = {
    "pairs under names of their own": (trainer(SCORES + "return loss", before=SEQUENCES), CORRECT, ""),
    "their scores summed": (trainer(SCORES + "return loss * len(better)"), UNDIVIDED, "4 times too small"),
    "a margin that nothing tells": (
        trainer(SCORES + 'return loss + inputs["margin"].mean()'),
        LACKS,
        "needs the item `margin`: KeyError: 'margin' (train.py:14)",
    ),
    "a token mean beside the pairs": (
        trainer(
            'labels = inputs["chosen_labels"]\n'
            'logits = model(inputs["chosen_input_ids"], attention_mask=inputs["chosen_attention_mask"]).logits\n'
            'assert inputs["rejected_input_ids"].dim() == 2\n'
            "return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())"
        ),
        WRONG,
        "when the counts differ",
    ),
    "pairs in neighbouring rows": (trainer(NEIGHBOURS + "return loss.mean()", name="Reward"), CORRECT, ""),
    "neighbouring rows summed": (trainer(NEIGHBOURS + "return loss.sum()", name="Reward"), UNDIVIDED, "too small"),
    "halves against a reference model": (
        trainer(
            HALVES + COMPARED,
            name="DPO",
            before=CAUSAL,
            extra="def __init__(self, ref_model, **kw):\n    self.ref_model = ref_model",
        ),
        CORRECT,
        "",
    ),
    "halves that become one mean over tokens": (
        trainer(HALVES + "a, b = (logps * mask).chunk(2)\nreturn -F.logsigmoid(a - b).sum() / mask.sum()", name="DPO"),
        WRONG,
        "when the counts differ",
    ),
    "a value for each position": (trainer(VALUES + "return loss.mean()", name="Pairwise"), CORRECT, ""),
    "a value, summed": (trainer(VALUES + "return loss.sum()", name="Pairwise"), UNDIVIDED, "too small"),
    "labels in the batch": (trainer(LABELLED.format("")), UNDIVIDED, "a division is missing"),
    "labels, and an opt-out": (trainer(LABELLED.format(""), extra=OPTS_OUT.format("")), CORRECT, ""),
    "labels if there are some": (
        trainer(LABELLED.format(", None")),
        OPEN,
        "right if the batch has no labels, wrong otherwise",
    ),
    "a base that is not there, and a loss of its own": (
        trainer(SCORES + "return loss", base="RewardTrainer", before="from trl import RewardTrainer"),
        CORRECT,
        "",
    ),
    "a base that is not there, and its loss": (
        trainer(
            SCORES + "return loss + super().compute_loss(model, inputs)",
            base="RewardTrainer",
            before="from trl import RewardTrainer",
        ),
        LACKS,
        "needs RewardTrainer, whose loss and opt-outs are its own (train.py:9)",
    ),
    "a helper of a library that is not there": (
        trainer(
            'ids = pad_to_length(inputs["chosen_input_ids"], 30, 0)\n'
            'mask = pad_to_length(inputs["chosen_attention_mask"], 30, 0)\n'
            "logps = model(ids, attention_mask=mask).logits.log_softmax(-1)\n"
            "rewards = (logps[:, :, 5] * mask).sum(1)\n"
            'return -F.logsigmoid(rewards - inputs["rejected_attention_mask"].sum(1)).mean()',
            before="from trl.trainer.utils import pad_to_length",
        ),
        CORRECT,
        "",
    ),
    "a helper that nobody knows": (
        trainer(
            SCORES + "return regularised(loss)",
            before="from trl.trainer.utils import regularised",
        ),
        LACKS,
        "needs `trl.trainer.utils.regularised(...)`",
    ),
}
MEAN = "return model(**inputs).loss"
SETTINGS = {
    "a base that opts out": (
        trainer(
            MEAN,
            base="House",
            before=f"{SEQUENCES}\nclass House(Trainer):\n{indent(OPTS_OUT.format(''), '    ')}",
        ),
        CORRECT,
        "",
    ),
    "a base that opts out of some runs": (
        trainer(
            MEAN,
            base="House",
            before=f"{SEQUENCES}\nclass House(Trainer):\n{indent(OPTS_OUT.format('if args[0].is_large: '), '    ')}",
        ),
        OPEN,
        "right if the trainer opts out of the count, wrong otherwise",
    ),
    "a mean over tokens, however it is divided": (
        trainer(
            'labels = inputs.pop("labels")\nlogits = model(**inputs).logits\n'
            "return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())",
            before=CAUSAL,
            extra=OPTS_OUT.format("if args[0].is_large: "),
        ),
        WRONG,
        "a division is missing; if the trainer opts out of the count, relative error",
    ),
    "several heads": (
        trainer(
            "return super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)",
            before=f"{CAUSAL}, AutoModelForTokenClassification",
        ),
        OPEN,
        "wrong if the model's head is token, right otherwise",
    ),
    "a head among many mentions of another": (
        trainer(
            "return super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)",
            before="from transformers import LlamaForCausalLM, GPT2LMHeadModel, Qwen2ForCausalLM, OPTForCausalLM\n"
            "from transformers import BertForTokenClassification",
        ),
        CORRECT,
        "",
    ),
}
ENCODERS = {
    "the model's own loss": (
        trainer("return model(**inputs).loss", name="Embedder"),
        OPEN,
        "wrong if its model compares each example with the others of its micro-batch, right otherwise",
    ),
    "the model's own loss, divided": (
        trainer("return model(**inputs).loss / self.args.gradient_accumulation_steps", name="Embedder"),
        UNDIVIDED,
        "it is divided twice",
    ),
    "queries and passages": (
        trainer("query, passage = inputs\nreturn model(query=query, passage=passage).loss", name="Retriever"),
        OPEN,
        "compares each example",
    ),
    "a part of its own": (
        trainer("return model(**inputs).loss + model.matryoshka(inputs)", name="Retriever"),
        LACKS,
        "needs `model.matryoshka`",
    ),
}
OLD = "model, inputs, return_outputs=False"
SIGNATURES = {
    "no count, and a batch that is not known": (
        trainer('return model(**inputs).loss * inputs["mood"].mean()', takes=OLD, before=CAUSAL),
        WRONG,
        "this override does not take it; its loss was not run: needs `batch.mood",
    ),
    "no count, and a step that may call it otherwise": (
        trainer(
            'return model(**inputs).loss * inputs["mood"].mean()',
            takes=OLD,
            base="Stepping",
            before=f"{CAUSAL}\nclass Stepping(Trainer):\n    def training_step(self, *args):\n"
            "        return self.step_of_mine(*args)\n",
        ),
        LACKS,
        "needs `self.step_of_mine()`",
    ),
    "no count, on a trainer that nobody knows": (
        trainer(
            'return model(**inputs).loss * inputs["mood"].mean()',
            takes=OLD,
            base="OtherTrainer",
            before=f"{CAUSAL}\nfrom elsewhere import OtherTrainer",
        ),
        LACKS,
        "needs `batch.mood",
    ),
    "any keyword": (
        trainer('return model(**inputs).loss * inputs["mood"].mean()', takes=f"{OLD}, **kwargs", before=CAUSAL),
        LACKS,
        "needs `batch.mood",
    ),
}
WINDOWED = """
def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self._step, self._parts = 0, None
    self._count = None

def get_train_dataloader(self):
    size = self._train_batch_size * self.args.gradient_accumulation_steps
    loader = DataLoader(self.train_dataset, batch_size={size}, collate_fn=self.data_collator)
    return RepeatedLoader(loader, repeat=self.args.gradient_accumulation_steps)

def _prepare_inputs(self, batch):
    steps = self.args.gradient_accumulation_steps
    if self._step % steps == 0:
        self._parts = [dict(zip(batch, rows)) for rows in zip(*(value.chunk(steps) for value in batch.values()))]
        count = (batch["labels"][:, 1:] != -100).sum()
        self._count = {count}
    self._step += 1
    return self._parts[(self._step - 1) % steps]
"""
LABELLED_SUM = """
labels = inputs.pop("labels")
logits = model(**inputs).logits[:, :-1].flatten(0, 1)
loss = F.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum")
"""
GATHERED = "self.accelerator.gather(count).sum() / self.accelerator.num_processes"
WINDOWS = {
    "a window at once, and the count of one rank": (
        trainer(
            LABELLED_SUM + "return loss / self._count", before=CAUSAL, extra=WINDOWED.format(size="size", count="count")
        ),
        WRONG,
        "right in one process, but not on 2 ranks",
    ),
    "a window at once, and its own count": (
        trainer(
            LABELLED_SUM + "return loss / self._count",
            before=CAUSAL,
            extra=WINDOWED.format(size="size", count=GATHERED),
        ),
        CORRECT,
        "",
    ),
    "a window at once, and the Trainer's count of its copies": (
        trainer(
            LABELLED_SUM + "return loss / num_items_in_batch",
            before=CAUSAL,
            extra=WINDOWED.format(size="size", count=GATHERED),
        ),
        UNDIVIDED,
        "4 times too small",
    ),
    "a loader of another kind": (
        trainer(
            LABELLED_SUM + "return loss / self._count",
            before=CAUSAL,
            extra=WINDOWED.format(size="8", count=GATHERED).replace("* self.args", "+ self.args"),
        ),
        LACKS,
        "needs its own `get_train_dataloader` (line",
    ),
    "texts of its own": (
        trainer("return model(input_ids=model.generate(**inputs)).logits.mean()", before=CAUSAL),
        LACKS,
        "needs the texts that its model generates while it trains (train.py:",
    ),
}
CHOSEN = """
if self.kind == "plain":
    loss = model(**inputs).loss
elif self.kind == "other":
    loss = model(**inputs).loss * 2
return loss{}
"""
KIND = """
def __init__(self, *args, **kwargs):
    {} = kwargs.pop("kind")
    super().__init__(*args, **kwargs)
    self.model_accepts_loss_kwargs = False
"""
WEIGHED = """
labels, weights = inputs.pop("labels"), inputs.pop("weights")
logits = model(**inputs).logits[:, :-1]
each = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="none").view(len(labels), -1)
"""
NEAR = """
def __init__(self, global_state, prox_mu, **kwargs):
    super().__init__(**kwargs)
    self.global_state, self.count = global_state, 0
    self.global_state = global_state
    self.mu = prox_mu
"""
PENALTY = """
for name, parameter in model.named_parameters():
    loss = loss + self.mu / 2 * (parameter - self.{}[name]).norm() ** 2{}
return loss
"""
VALUES_OF = {
    "a text that it asks for": (
        trainer(CHOSEN.format(""), before=SEQUENCES, extra=KIND.format("self.kind")),
        CORRECT,
        "",
    ),
    "a text that it asks for, and twice the division": (
        trainer(
            CHOSEN.format(" / self.args.gradient_accumulation_steps"), before=SEQUENCES, extra=KIND.format("self.kind")
        ),
        UNDIVIDED,
        "it is divided twice",
    ),
    "a choice among unknown values": (
        trainer(
            CHOSEN.format("").replace('"plain"', "PLAIN").replace('"other"', "OTHER"),
            before=f"{SEQUENCES}\nfrom elsewhere import PLAIN, OTHER",
            extra=KIND.format("self.kind"),
        ),
        LACKS,
        "UnboundLocalError",
    ),
    "weights of rows": (
        trainer(WEIGHED + "return (each.sum(1) * weights).mean() / 4", before=CAUSAL, extra=OPTS_OUT.format("")),
        CORRECT,
        "",
    ),
    "weights of tokens, over the count": (
        trainer(
            WEIGHED + "loss = (each * weights[:, 1:].view(each.shape)).sum() / num_items_in_batch\n"
            "return loss * self.accelerator.num_processes",
            before=CAUSAL,
        ),
        CORRECT,
        "",
    ),
    "weights of tokens, over their sum": (
        trainer(
            WEIGHED + "w = weights[:, 1:].view(each.shape)\nreturn (each * w).sum() / w.sum()",
            before=CAUSAL,
            extra=OPTS_OUT.format(""),
        ),
        WRONG,
        "when the counts differ",
    ),
    "weights of another shape": (
        trainer(WEIGHED + "return (each * weights.view(len(labels), 3)).sum() / num_items_in_batch", before=CAUSAL),
        LACKS,
        "needs `weights.view(len(labels), 3)`",
    ),
    "the weights that it starts from": (
        trainer(
            "loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)"
            + PENALTY.format("global_state", " / self.args.gradient_accumulation_steps"),
            before=CAUSAL,
            extra=NEAR,
        ),
        CORRECT,
        "",
    ),
    "the weights that it starts from, at every micro-batch": (
        trainer(
            "loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)"
            + PENALTY.format("global_state", ""),
            before=CAUSAL,
            extra=NEAR,
        ),
        OPEN,
        "the control run failed",
    ),
    "weights that nothing tells": (
        trainer(
            "loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)"
            + PENALTY.format("fisher", ""),
            before=CAUSAL,
            extra=NEAR,
        ),
        LACKS,
        "needs `self.fisher",
    ),
}
CASES = {**WINDOWS, **VALUES_OF, **PAIRS, **SETTINGS, **ENCODERS, **SIGNATURES}


@pytest.mark.parametrize("name", CASES)
def test_trainer(verifier: Verifier, name: str) -> None:
    source, outcome, reason = CASES[name]
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is outcome, (verdict.reason, verdict.assumptions)
    assert reason in (verdict.reason or "")
