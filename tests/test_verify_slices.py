"""Does the slicer run what the user wrote, and name what it lacks? Each mechanism binds once, and once it must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ga_lint.verify import Outcome, Settings, Verdict, Verifier, sites_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

WRONG, CORRECT, LACKS = Outcome.WRONG, Outcome.CORRECT, Outcome.NOT_VERIFIABLE


def verdict_of(verifier: Verifier, source: str, path: Path = Path("train.py")) -> Verdict:
    found = sites_in(path, dedent(source))
    assert len(found) == 1, found
    return verifier.verify(found[0])


HELPER = """
def token_loss(logits, labels):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
"""


def loop(body: str, *, over: str = "batch in enumerate(loader)", before: str = "", helper: str = HELPER) -> str:
    """A raw loop over tokens around these lines, which end with a `loss`."""
    return f"""
import os
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM
{dedent(before)}

{helper}
def train(model, loader, optimizer, accum_steps, args):
    for step, {over}:
{indent(dedent(body), "        ")}
        (loss / accum_steps).backward()
        if (step + 1) % accum_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


PLAIN = 'loss = token_loss(model(batch["input_ids"]).logits, batch["labels"])\n'
LOOPS = {
    # parts of a batch, wherever they are taken out
    "parts in the target": (
        loop("loss = token_loss(model(x).logits, y)", over="(x, y) in enumerate(loader)"),
        WRONG,
        "",
    ),
    "parts in a helper": (
        loop(
            "loss = fit(model, batch)",
            before="def fit(model, b):\n    x, y = b\n    return token_loss(model(x).logits, y)",
        ),
        WRONG,
        "",
    ),
    "parts that are batches": (
        loop(
            'loss = token_loss(model(**first).logits, second["label"])',
            over="(first, second, extra) in enumerate(loader)",
        ),
        WRONG,
        "",
    ),
    "parts of a moved tuple": (
        loop(
            "batch = tuple(t.to('cuda') for t in batch)\n"
            "inputs = {'input_ids': batch[0], 'attention_mask': batch[1], 'labels': batch[3]}\n"
            "loss = model(**inputs).loss"
        ),
        WRONG,
        "",
    ),
    "a part that nothing tells": (
        loop("loss = token_loss(model(x).logits, z)", over="(x, z) in enumerate(loader)"),
        LACKS,
        "needs `batch.z",
    ),
    "an item that nothing tells": (
        loop(PLAIN + 'loss = loss * batch["quality"].mean()'),
        LACKS,
        "needs `batch.quality",
    ),
    "a stream that nothing tells": (
        loop(PLAIN, over="batch in mystery.stream()", before="import mystery"),
        LACKS,
        "needs `mystery.stream()`",
    ),
    "labels of the loop's own": (
        loop(
            'labels = batch["input_ids"].clone()\nlabels[labels == 0] = -100\nloss = model(**batch, labels=labels).loss'
        ),
        WRONG,
        "",
    ),
    "nothing but ids": (
        loop(
            'ids = batch["input_ids"]\n'
            "loss = F.cross_entropy(model(ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten())",
            helper="",
        ),
        CORRECT,
        "token ids themselves",
    ),
    # values
    "a choice that must be made": (
        loop(
            "if args.layout == 'dense':\n    " + PLAIN + "else:\n    raise ValueError(args.layout)",
            before="import argparse\np = argparse.ArgumentParser()\n"
            "p.add_argument('--layout', required=True, choices=['dense', 'sparse'])",
        ),
        WRONG,
        "",
    ),
    "a choice that nobody offers": (
        loop("if args.layout == wanted():\n    " + PLAIN + "else:\n    raise ValueError(args.layout)"),
        LACKS,
        "ValueError",
    ),
    "an option that may be None": (
        loop(PLAIN + "if args.extra_loss is not None:\n    loss = loss + missing_term(args.extra_loss)"),
        WRONG,
        "",
    ),
    "an environment with a default": (loop("if os.environ.get('DEBUG', '0') == '0':\n    " + PLAIN), WRONG, ""),
    "an environment without one": (
        loop("if os.environ['STAGE'] == '1':\n    " + PLAIN),
        LACKS,
        "needs the environment variable STAGE",
    ),
    "a branch that is not taken": (
        loop(PLAIN + "loss = loss * factor", before="factor = 1.0\nif torch.cuda.is_available():\n    factor = None"),
        WRONG,
        "",
    ),
    "a kernel's loss": (
        loop(
            "loss = FlashCrossEntropyLoss()(model(x).logits, y)",
            over="(x, y) in enumerate(loader)",
            before="from flash import FlashCrossEntropyLoss",
        ),
        WRONG,
        "",
    ),
    "a kernel's function": (
        loop(
            "loss = fused_ce(model(x).logits, y)",
            over="(x, y) in enumerate(loader)",
            before="from flash import fused_ce",
        ),
        LACKS,
        "needs `flash.fused_ce(...)`",
    ),
    "what only moves a batch": (
        loop("batch = to_device(batch, 'cuda')\n" + PLAIN, before="from tools import to_device"),
        WRONG,
        "",
    ),
    "what does more to a batch": (
        loop("batch = enrich(batch, 'cuda')\n" + PLAIN, before="from tools import enrich"),
        LACKS,
        "needs `tools.enrich()",
    ),
    "a class that is not there": (
        loop("assert not isinstance(model, Wrapped)\n" + PLAIN, before="from tools import Wrapped"),
        WRONG,
        "",
    ),
    # heads
    "answers": (
        loop("loss = model(**batch).loss").replace("ForCausalLM", "ForQuestionAnswering"),
        CORRECT,
        "every example has one answer",
    ),
    "a subclass of a head": (
        loop("loss = model(**batch).loss").replace("AutoModelForCausalLM", "BertForSequenceClassificationWithExits"),
        CORRECT,
        "",
    ),
    "images": (
        loop("loss = model(**batch).loss").replace("ForCausalLM", "ForImageClassification"),
        LACKS,
        "needs a stand-in for AutoModelForImageClassification",
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(verifier: Verifier, name: str) -> None:
    source, outcome, reason = LOOPS[name]
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is outcome, verdict
    assert reason in (verdict.reason or "")


CALLED = """
from transformers import AutoModelForCausalLM

def main(accum_steps):
    state = {"seen": 0}
    train(None, None, None, state, accum_steps)

def train(model, loader, optimizer, state, accum_steps):
    for batch in loader:
        loss = model(**batch).loss / accum_steps
        loss.backward()
        state["seen"] += 1
        if state["seen"] % accum_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


def test_parameters_have_what_a_caller_passes(verifier: Verifier) -> None:
    bound = verdict_of(verifier, CALLED)
    assert bound.outcome is WRONG and "loss only" not in (bound.reason or "")
    alone = CALLED.replace("    train(None, None, None, state, accum_steps)\n", "")
    assert "loss only: " in (verdict_of(verifier, alone).reason or "")  # without `state` its gate never opens


def test_declared_values_come_from_imported_files_too(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "options.py").write_text("class Options:\n    flavour: str = 'dense'\n")
    body = "if args.flavour == 'dense':\n    " + PLAIN + "else:\n    raise ValueError"
    verdict = verdict_of(verifier, loop(body, before="from options import Options"), tmp_path / "train.py")
    assert verdict.outcome is WRONG
    assert "`args.flavour` is its declared default 'dense'" in verdict.assumptions


LIGHTNING = """
import lightning as L
import torch.nn.functional as F

class Tuner(L.LightningModule):
    def training_step(self, batch, batch_idx):
        logits = self.model(batch["input_ids"])
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
        return {"loss": loss}

trainer = L.Trainer(accumulate_grad_batches=8)
"""
MANUAL = """
import lightning as L
import torch.nn.functional as F

class Tuner(L.LightningModule):
    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        logits = self.model(batch["input_ids"])
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
        self.manual_backward(loss / self.accum_steps)
        if (batch_idx + 1) % self.accum_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


@pytest.mark.parametrize("source", [LIGHTNING, MANUAL], ids=["automatic", "manual"])
def test_lightning_drives_a_training_step(verifier: Verifier, source: str) -> None:
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is WRONG, verdict
    control = next(run for run in verdict.runs if run.name == "R0")
    assert control.relative_error < 1e-12
    per_example = source.replace("[:, :-1].flatten(0, 1)", "[:, 0]")
    per_example = per_example.replace('batch["labels"][:, 1:].flatten()', 'batch["input_ids"][:, 1]')
    assert verdict_of(verifier, per_example).outcome is CORRECT


def test_lightning_step_without_a_loss_or_accumulation(verifier: Verifier) -> None:
    silent = verdict_of(verifier, LIGHTNING.replace('        return {"loss": loss}\n', ""))
    assert silent.outcome is LACKS and "returns its loss" in (silent.reason or "")
    assert not sites_in(Path("train.py"), LIGHTNING.replace("accumulate_grad_batches=8", ""))


NESTED = """
from transformers import AutoModelForCausalLM, Trainer

class TwoSided(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        kept, dropped = inputs["kept"], inputs["dropped"]
        loss = model(input_ids=kept["input_ids"], labels=kept["labels"]).loss
        return loss - 0.1 * model(**dropped).loss
"""
TUPLE = """
from transformers import AutoModelForCausalLM, Trainer

class FromTuples(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        input_ids, labels, attention_mask = inputs
        return model(input_ids, labels=labels, attention_mask=attention_mask).loss
"""


@pytest.mark.parametrize("source", [NESTED, TUPLE], ids=["nested", "tuple"])
def test_batch_without_labels_at_its_top_is_not_counted(verifier: Verifier, source: str) -> None:
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is WRONG, verdict  # and not "a division is missing": the Trainer divides
    assert any("the Trainer counts nothing" in line for line in verdict.assumptions)
    flat = source.replace('inputs["kept"], inputs["dropped"]', "inputs, inputs")
    if flat != source:
        assert verdict_of(verifier, flat).outcome is Outcome.MISSING_DIVISION


OVERRIDE = """
from abc import ABC
import random
import torch
from transformers import AutoModelForCausalLM, Trainer

class Mixing(ABC, Trainer):
    def __init__(self, *args, rate=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.rate = rate
        if rate is not None:
            self.sampler = remote_sampler(rate)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if random.random() <= self.rate_of_noise:
            inputs["labels"] = torch.randint(1, 9, inputs["labels"].shape)
        return model(**inputs).loss
"""


def test_what_is_drawn_at_random_does_not_happen(verifier: Verifier) -> None:
    verdict = verdict_of(verifier, OVERRIDE)
    assert verdict.outcome is Outcome.MISSING_DIVISION, verdict
    assert any("`self.rate_of_noise` is 0" in line for line in verdict.assumptions)


def test_trainer_that_feeds_itself_is_refused(verifier: Verifier) -> None:
    own = """
    def get_train_dataloader(self):
        return []

    def _prepare_inputs(self, inputs):
        return inputs
"""
    verdict = verdict_of(verifier, OVERRIDE + own)
    assert verdict.outcome is LACKS and "`get_train_dataloader` (line 19)" in (verdict.reason or "")


def test_batch_of_a_contrastive_trainer_is_not_made_up(verifier: Verifier) -> None:
    source = """
    from transformers import Trainer

    class EmbedderTrainer(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            return super().compute_loss(model, inputs, return_outputs)
    """
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is LACKS and "nothing says that it has labels" in (verdict.reason or "")


FORWARD = """
import torch.nn as nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

class TinyForCausalLM(PreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.model = TinyBackbone(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
        logits = self.lm_head(self.model(input_ids, attention_mask=attention_mask)[0])
        loss = None
        if labels is not None:
            loss_fct = nn.CrossEntropyLoss()
            loss = loss_fct(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)
"""


def test_forward_that_takes_the_count(verifier: Verifier) -> None:
    assert verdict_of(verifier, FORWARD).outcome is Outcome.MISSING_DIVISION
    routed = FORWARD.replace("loss_fct = nn.CrossEntropyLoss()\n", "").replace(
        "loss_fct(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())",
        "self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)",
    )
    assert verdict_of(verifier, routed).outcome is CORRECT


def test_forward_that_opts_out_is_divided_by_the_trainer(verifier: Verifier) -> None:
    opted = FORWARD.replace("    def __init__", "    accepts_loss_kwargs = False\n\n    def __init__")
    assert verdict_of(verifier, opted).outcome is WRONG  # the weights alone
    per_example = FORWARD.replace("[:, :-1].flatten(0, 1)", "[:, 0]").replace(
        "labels[:, 1:].flatten()", "input_ids[:, 1]"
    )
    site = sites_in(Path("model.py"), per_example)[0]
    repaired = per_example.replace("    def __init__", "    accepts_loss_kwargs = False\n\n    def __init__")
    assert verifier.verify(replace(site, rewritten=repaired)).outcome is Outcome.CONFIRMED
    assert not sites_in(Path("model.py"), FORWARD.replace(", **kwargs):", "):"))


PICTURES = loop('loss = model(batch["pixels"], batch["words"])', before="from zoo import PictureModel").replace(
    "from transformers import AutoModelForCausalLM\n", ""
)
ADAPTER = """
import torch
from torch import nn

class Captioner(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, 64)
        self.dropout = nn.Dropout(0.5)

    def forward(self, pixels, words):
        logits = self.dropout(self.table(words["ids"]))[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), words["wanted"][:, 1:].flatten(), ignore_index=-100)

def make_model():
    return Captioner()

def make_batch(rows, targets):
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    wanted = torch.tensor([row + [-100] * (width - len(row)) for row in targets])
    return {"pixels": torch.zeros(len(rows), 3), "words": {"ids": ids, "wanted": wanted}}
"""


def test_adapter_makes_what_cannot_be_guessed(verifier: Verifier, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    alone = verdict_of(verifier, PICTURES, path)
    assert alone.outcome is LACKS and "needs" in (alone.reason or "")
    (tmp_path / "ga_lint_verify.py").write_text(ADAPTER)
    verdict = verdict_of(verifier, PICTURES, path)
    assert verdict.outcome is WRONG, verdict
    assert "model and batches as ga_lint_verify.py makes them" in verdict.assumptions


def test_adapter_by_name_and_one_that_is_broken(tmp_path: Path) -> None:
    adapter = tmp_path / "elsewhere.py"
    adapter.write_text(ADAPTER)
    with Verifier(Settings(adapter=adapter)) as named:
        assert verdict_of(named, PICTURES).outcome is WRONG
        adapter.write_text("import nothing_of_that_name\n")
        verdict = verdict_of(named, PICTURES)
    assert verdict.outcome is LACKS and "needs an adapter that can be imported" in (verdict.reason or "")


ENGINE = loop(PLAIN + "loss = loss / accum_steps").replace(
    "        (loss / accum_steps).backward()\n", "        strategy.backward(loss, model, optimizer)\n"
)
ENGINE = ENGINE[: ENGINE.index("        if (step + 1)")] + "        strategy.optimizer_step(optimizer, model)\n"


def test_loss_alone_where_the_loop_does_not_run(verifier: Verifier) -> None:
    source = ENGINE.replace("def train(model,", "def train(strategy, model,").replace(
        "accum_steps, args", "accumulation"
    )
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is WRONG, verdict
    assert (verdict.reason or "").startswith("loss only: ")
    assert any(line.startswith("loss only: the loop around it was not run (needs ") for line in verdict.assumptions)
    assert {run.setting for run in verdict.runs} == {"loss only"}


@pytest.mark.parametrize(
    "corrected",
    [
        "loss = loss * batch['labels'].ne(-100).sum() / valid_tokens\n",
        "loss = token_loss(model(**batch), y, reduction='sum')\n",
    ],
)
def test_loss_alone_does_not_wrong_a_loop_that_weighs(verifier: Verifier, corrected: str) -> None:
    source = ENGINE.replace("def train(model,", "def train(strategy, model,").replace(
        "accum_steps, args", "accumulation"
    )
    verdict = verdict_of(
        verifier, source.replace("        strategy.backward", f"        {corrected}        strategy.backward")
    )
    assert verdict.outcome is LACKS, verdict


def test_loss_alone_clears_no_loop(verifier: Verifier) -> None:
    source = ENGINE.replace("def train(model,", "def train(strategy, model,").replace(
        "accum_steps, args", "accumulation"
    )
    verdict = verdict_of(verifier, source.replace("ForCausalLM", "ForSequenceClassification"))
    assert verdict.outcome is LACKS, verdict


def test_loss_alone_confirms_no_rewrite(verifier: Verifier) -> None:
    source = ENGINE.replace("def train(model,", "def train(strategy, model,").replace(
        "accum_steps, args", "accumulation"
    )
    site = sites_in(Path("train.py"), source)[0]
    assert verifier.verify(replace(site, rewritten=source)).outcome is LACKS
