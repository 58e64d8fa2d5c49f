"""Are loops of every shape run as they stand? Each mechanism: a right twin, a wrong one, and one it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ga_lint.verify import Outcome, Verdict, Verifier, sites_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

WRONG, CORRECT, LACKS = Outcome.WRONG, Outcome.CORRECT, Outcome.NOT_VERIFIABLE
MISSING, UNCLEAR = Outcome.MISSING_DIVISION, Outcome.INCONCLUSIVE


def verdict_of(verifier: Verifier, source: str, path: Path = Path("train.py")) -> Verdict:
    found = sites_in(path, source)
    assert len(found) == 1, found
    return verifier.verify(found[0])


HEAD = """
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM
"""


def token_sum(batch: str) -> str:
    shifted = f'model({batch}["input_ids"]).logits[:, :-1].flatten(0, 1), {batch}["labels"][:, 1:].flatten()'
    return f'F.cross_entropy({shifted}, ignore_index=-100, reduction="sum")'


def count(batch: str) -> str:
    return f'({batch}["labels"][:, 1:] != -100).sum()'


MEAN = f"{token_sum('part')} / {count('part')}"
OF_WINDOW = f"{token_sum('part')} / targets"


def window(parts: str, loss: str, before: str = "pass") -> str:
    """A loop that draws a window, and steps behind the loop over its parts."""
    return f"""{HEAD}
class Runner:
    def fit(self, model, loader, optimizer):
        for batch in loader:
            {before}
            optimizer.zero_grad()
            for part in {parts}:
                loss = {loss}
                loss.backward()
            optimizer.step()
"""


SPLIT, LISTED = "batch.split(self.micro_batch_size)", "batch"
COUNT_IN_LIST = f"targets = sum({count('part')} for part in batch)"
MICRO_COUNT = "len(batch['input_ids']) // self.micro_batch_size"
WINDOWS = {
    "split, right": (window(SPLIT, OF_WINDOW, f"targets = {count('batch')}"), CORRECT),
    "split, mean of means": (window(SPLIT, f"{MEAN} / ({MICRO_COUNT})"), WRONG),
    "split, not divided": (window(SPLIT, MEAN), MISSING),
    "split by hand": (
        window(f"[{{k: v[n : n + 1] for k, v in batch.items()}} for n in range({MICRO_COUNT})]", MEAN + " / 4"),
        LACKS,  # its parts are of one row whatever the micro-batch's size
    ),
    "split by rows": (
        window(
            "[{k: v[n : n + self.micro_batch_size] for k, v in batch.items()} "
            "for n in range(0, len(batch['input_ids']), self.micro_batch_size)]",
            f"{MEAN} / ({MICRO_COUNT})",
        ),
        WRONG,
    ),
    "the same rows again": (window("[batch] * 4", MEAN + " / 4"), LACKS),
    "listed, right": (window(LISTED, OF_WINDOW, COUNT_IN_LIST), CORRECT),
    "listed, mean of means": (window(LISTED, f"{MEAN} / len(batch)"), WRONG),
    "listed, not divided": (window(LISTED, MEAN), MISSING),
    "listed, unshifted count": (
        window(LISTED, OF_WINDOW, COUNT_IN_LIST.replace('["labels"][:, 1:]', '["labels"]')),
        CORRECT,  # a constant factor is no matter of the cut
    ),
    "listed by something else": (window("pieces.of(batch)", MEAN), LACKS),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_that_the_loop_takes_apart(verifier: Verifier, name: str) -> None:
    source, outcome = WINDOWS[name]
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is outcome, verdict
    if outcome is not LACKS:
        wanted = "a list of micro-batches" if name.startswith("listed") else "a window that the loop splits"
        assert f"the loader yields {wanted}" in verdict.assumptions


def loop(body: str, *, before: str = "", over: str = "batch", name: str = "model") -> str:
    """A raw loop with a gate around these lines, which end with a `loss`."""
    return f"""{HEAD}{dedent(before)}

def train({name}, loader, optimizer, accum_steps, args):
    for step, {over} in enumerate(loader):
{indent(dedent(body), "        ")}
        (loss / accum_steps).backward()
        if (step + 1) % accum_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


# What is masked at random is ragged, whatever the length of the rows.
MASKED = """
ids = batch["input_ids"]
rate = torch.rand(ids.shape[0])
hidden = torch.rand(ids.shape) < rate[:, None]
logits = model(torch.where(hidden, 32000, ids)).logits
each = F.cross_entropy(logits.transpose(1, 2), ids, reduction="none") * hidden
"""
PREFERENCE = """
kept = model(batch["chosen_input_ids"], attention_mask=batch["chosen_attention_mask"]).logits.log_softmax(-1)
dropped = model(batch["rejected_input_ids"], attention_mask=batch["rejected_attention_mask"]).logits.log_softmax(-1)
mine = kept[:, :-1].gather(2, batch["chosen_input_ids"][:, 1:, None]).squeeze(2) * batch["chosen_attention_mask"][:, 1:]
other = dropped[:, :-1].gather(2, batch["rejected_input_ids"][:, 1:, None]).squeeze(2)
other = other * batch["rejected_attention_mask"][:, 1:]
"""
CHAIN = """
if args.flavour == "dense":
    loss = model(**batch).loss
elif args.flavour == "per_row":
    loss = model(**batch).loss * 0 + model(batch["input_ids"]).logits[:, 0].pow(2).mean()
else:
    raise ValueError(args.flavour)
"""
PLAIN = "loss = model(**batch).loss\n"
KERNEL = """
shifted = model(batch["input_ids"]).logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()
loss = criterion(*shifted)
"""
TRIED = "try:\n    import fast_kernels\n    FAST = True\nexcept ImportError:\n    FAST = False\n"
LOOPS = {
    "masked tokens over all places": (loop(MASKED + "loss = each.sum() / ids.numel()"), CORRECT, ""),
    "masked tokens over their number": (loop(MASKED + "loss = each.sum() / hidden.sum()"), WRONG, ""),
    "masked tokens in another order": (
        loop(
            MASKED.replace("torch.rand(ids.shape) <", "torch.rand(ids.shape)[torch.randperm(len(ids))] <").replace(
                "rate[:, None]", "torch.rand(ids.shape).sort(1).values.roll(int(torch.randperm(9)[0]), 1)"
            )
            + "loss = each.sum() / ids.numel()"
        ),
        UNCLEAR,
        "the control run failed",
    ),
    "no number": (loop(PLAIN + "loss = loss * (loss - loss.detach()).sqrt()"), LACKS, "not finite"),
    "answers, each pair": (loop(PREFERENCE + "loss = -F.logsigmoid(mine.sum(1) - other.sum(1)).mean()"), CORRECT, ""),
    "answers, each token": (
        loop(PREFERENCE + "loss = -(mine.sum() - other.sum()) / batch['chosen_attention_mask'].sum()"),
        WRONG,
        "",
    ),
    "answers and what nobody gave": (
        loop(PREFERENCE + "loss = -F.logsigmoid(mine.sum(1) - batch['reference_logps']).mean()"),
        LACKS,
        "needs `batch.reference_logps",
    ),
    "an option whose values the code knows": (loop(CHAIN), WRONG, ""),
    "an option that it need not know": (
        loop(PLAIN + "if args.flavour == 'scaled':\n    loss = loss + mystery(loss)"),
        WRONG,
        "",
    ),
    "a kernel that keeps its reduction": (
        loop(
            KERNEL + "loss = loss.sum() / batch['input_ids'].shape[0]",
            before="from kernels import CrossEntropyLoss\ncriterion = CrossEntropyLoss(reduction='none')",
        ),
        CORRECT,
        "",
    ),
    "a kernel's mean": (
        loop(KERNEL, before="from kernels import CrossEntropyLoss\ncriterion = CrossEntropyLoss(inplace=True)"),
        WRONG,
        "",
    ),
    "one of two kernels": (
        loop(
            KERNEL,
            before="def make(a):\n    criterion = a.Loss(reduction='none')\n"
            "def other(a):\n    criterion = a.Loss(reduction='sum')",
        ),
        LACKS,
        "needs `criterion",
    ),
    "a kernel that is not there": (
        loop(
            "if not FAST:\n    loss = model(**batch).loss\nelse:\n    loss = fast_kernels.mean(model(**batch).logits)",
            before=TRIED,
        ),
        WRONG,
        "",
    ),
    "a kernel that must be there": (
        loop("loss = fast_kernels.mean(model(**batch).logits)", before="import fast_kernels"),
        LACKS,
        "needs `fast_kern",
    ),
    "a model of any name": (
        loop(
            "thing.train()\n"
            "loss = F.cross_entropy(thing(input_ids=batch['input_ids'], attention_mask=batch['attention_mask'])"
            ".logits[:, :-1].flatten(0, 1), batch['labels'][:, 1:].flatten())",
            name="thing",
        ),
        WRONG,
        "",
    ),
    "a function of such arguments": (
        loop("loss = score(input_ids=batch['input_ids'], attention_mask=batch['attention_mask']).loss"),
        LACKS,
        "needs `score()",
    ),
    "outputs as a tuple, the loss last": (loop("out = model(**batch)\nlogits, loss = out"), WRONG, ""),
    "noise that is no row's": (
        loop("noise = torch.rand(12, 7).mean()\nloss = model(**batch).loss * noise / noise.detach()"),
        WRONG,
        "",
    ),
    "noise of the batch alone": (
        loop("loss = model(batch['input_ids']).logits[:, 0].pow(2).mean() * torch.rand(1)"),
        CORRECT,
        "",
    ),
    "an option that is demanded": (
        loop(PLAIN + "assert args.max_norm is not None\nloss = loss * args.max_norm / args.max_norm"),
        WRONG,
        "",
    ),
    "a branch for clipping": (
        loop(PLAIN + "if args.max_norm is not None:\n    loss = loss + mystery(loss)"),
        WRONG,
        "",
    ),
    "outputs as a tuple": (loop("loss, logits = model(**batch)"), WRONG, ""),
    "parts whose names a helper knows": (
        loop(
            "batch = tuple(t.to(args.device) for t in batch)\nloss = fit(model, batch)",
            before="def fit(model, batch):\n    ids, mask, labels = batch\n"
            "    return model(input_ids=ids, attention_mask=mask, labels=labels).loss",
        ),
        WRONG,
        "",
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(verifier: Verifier, name: str) -> None:
    source, outcome, reason = LOOPS[name]
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is outcome, verdict
    assert reason in (verdict.reason or "")


SHARED = """
class WithShare:
    def __init__(self, loader, steps):
        self.loader, self.steps = loader, steps

    def __iter__(self):
        batches = iter(self.loader)
        while window := list(itertools.islice(batches, self.steps)):
            counts = [float((labels[:, 1:] != -100).sum()) for _, labels in window]
            for batch, count in zip(window, counts):
                yield batch, count / sum(counts)
"""


def test_a_class_around_the_loader_is_run(verifier: Verifier) -> None:
    body = "loss = F.cross_entropy(model(x).logits[:, :-1].flatten(0, 1), y[:, 1:].flatten(), ignore_index=-100)"
    original = loop(body, over="(x, y)", before="import itertools")
    weighed = loop(body, over="((x, y), share)", before=f"import itertools\n{SHARED}")
    weighed = weighed.replace("in enumerate(loader)", "in enumerate(micro_batches)").replace("loss / accum_steps", "%s")
    weighed = weighed.replace("    for step", "    micro_batches = WithShare(loader, accum_steps)\n    for step")
    site = sites_in(Path("train.py"), original)[0]
    found = {
        loss: verifier.verify(replace(site, rewritten=weighed.replace("%s", loss))) for loss in ("loss * share", "loss")
    }
    assert found["loss * share"].outcome is Outcome.CONFIRMED, found["loss * share"]
    assert found["loss"].outcome is Outcome.REFUTED, found["loss"]


BASE = f"""{HEAD}
from abc import ABC, abstractmethod

class Base(ABC):
    def __init__(self):
        self.seen = 0

    @abstractmethod
    def loss_of(self, part): ...

    def fit(self):
        for part in self.loader:
            (self.loss_of(part) / self.accum_steps).backward()
            self.seen += 1
            if self.seen % self.accum_steps == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()
"""
HEIR = f"""{HEAD}
from base import Base

class SFT(Base):
    def loss_of(self, part):
        model = self.model
        return {token_sum("part")} / %s
"""


def test_an_abstract_class_is_the_one_that_is_made_from_it(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    path = tmp_path / "base.py"
    alone = verdict_of(verifier, BASE, path)
    assert alone.outcome is LACKS, alone
    (tmp_path / "sft.py").write_text(HEIR % count("part"))
    verdict = verdict_of(verifier, BASE, path)
    assert verdict.outcome is WRONG, verdict
    assert "Base is abstract: SFT of sft.py is run" in verdict.assumptions
    (tmp_path / "sft.py").write_text(HEIR % 'len(part["input_ids"])')
    assert verdict_of(verifier, BASE, path).outcome is CORRECT


def test_yaml_files_give_values(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    source = loop(
        "loss = model(**batch).loss * SCALES[cfg.loss.kind]",
        before="import math\nSCALES = {'plain': 1.0}",
    )
    path = tmp_path / "train.py"
    assert verdict_of(verifier, source, path).outcome is LACKS
    (tmp_path / "conf" / "loss" / "plain.yaml").write_text(
        "# @package _global_\nkind: plain  # of one term\nweights: [1, 2]\n"
    )
    verdict = verdict_of(verifier, source, path)
    assert verdict.outcome is WRONG, verdict
    assert "`cfg.loss.kind` is its value in plain.yaml 'plain'" in verdict.assumptions


HELPER = f"""{HEAD}
class Runner:
    def fit(self, args=None):
        inner = retried(self._inner)
        return inner(args=args or self.args)

    def _inner(self, args=None):
        for step, batch in enumerate(self.loader):
            self.train_step(self.model, batch, args)
            if (step + 1) % args.accum_steps == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()

    def train_step(self, model, part, args):
        loss = LOSS
        (loss / args.accum_steps).backward()
"""


def test_the_step_of_a_helper_is_never_left_out(verifier: Verifier) -> None:
    assert verdict_of(verifier, HELPER.replace("LOSS", MEAN)).outcome is WRONG
    assert (
        verdict_of(verifier, HELPER.replace("LOSS", f"{token_sum('part')} / len(part['input_ids'])")).outcome is CORRECT
    )
    broken = verdict_of(verifier, HELPER.replace("LOSS", 'model(**part).loss + part["bonus"]'))
    assert broken.outcome is LACKS and "batch.bonus" in (broken.reason or ""), broken


TUNER = """
import lightning as L
import torch.nn.functional as F

class Tuner(L.LightningModule):
    def training_step(self, batch, batch_idx):
        logits = self.model(batch["input_ids"])
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
        return loss

trainer = L.Trainer(accumulate_grad_batches=8)
"""
COUNTED = (
    TUNER.replace("Module):\n", "Module):\n    targets = 0\n\n")
    .replace("-100)\n", "-100, reduction='sum')\n        self.targets += (batch['labels'][:, 1:] != -100).sum()\n")
    .replace(
        "        return loss\n",
        """        return loss

    def on_before_optimizer_step(self, optimizer):
        targets = self.all_gather(self.targets).sum().clamp(min=1).item()
        scale = self.trainer.accumulate_grad_batches * self.trainer.world_size / targets
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad *= scale
        self.targets = 0
""",
    )
)
LOCAL = ("self.all_gather(self.targets).sum().clamp(min=1)", "self.targets")
FOR_LIGHTNING = {
    "as it is to be": (("", ""), Outcome.CONFIRMED, "None"),
    "a count of this rank": (LOCAL, Outcome.REFUTED, "R4"),
    "without the ranks": ((" * self.trainer.world_size", ""), Outcome.REFUTED, "the number of ranks is missing"),
    "without the steps": (("self.trainer.accumulate_grad_batches * ", ""), Outcome.REFUTED, "R2"),
    "a counter that is not reset": (("        self.targets = 0\n", ""), Outcome.REFUTED, "R3"),
    "a count that nobody knows": (("self.all_gather", "self.gathered_by"), LACKS, "needs `self.gathered_by()"),
}


@pytest.mark.parametrize("name", FOR_LIGHTNING)
def test_lightning_on_two_ranks(verifier: Verifier, name: str) -> None:
    change, outcome, reason = FOR_LIGHTNING[name]
    site = sites_in(Path("train.py"), TUNER)[0]
    verdict = verifier.verify(replace(site, rewritten=COUNTED.replace(*change)))
    assert verdict.outcome is outcome and reason in str(verdict.reason), verdict
    if outcome is Outcome.CONFIRMED:
        assert any(run.name == "R4" and run.relative_error < 1e-12 for run in verdict.runs)


def test_lightning_original_on_two_ranks(verifier: Verifier) -> None:
    right = TUNER.replace("-100)\n", "-100, reduction='sum') / len(logits)\n")
    verdict = verdict_of(verifier, right)
    assert verdict.outcome is CORRECT and any(run.name == "R4" for run in verdict.runs), verdict
    summed = verdict_of(verifier, right.replace("return loss", "return loss * self.trainer.world_size"))
    assert summed.outcome is WRONG and "R4" in str([run.name for run in summed.runs]), summed


ENGINE = f"""{HEAD}
def train({{owner}}, loader):
    {{setup}}
    for batch in loader:
        loss = {token_sum("batch")} / len(batch["input_ids"])
        {{owner}}.backward({{backward}})
        {{owner}}.step()
"""
CONFIGURED = 'engine, *_ = deepspeed.initialize(model=model, config={"gradient_accumulation_steps": 8})'
NOT_TOLD = "needs to know what `manager.backward` makes of the loss"
ENGINES = {
    "divides": ("engine", "pass", "loss", CORRECT, "None"),
    "divides again": ("engine", CONFIGURED, "loss / 8", MISSING, "divided twice"),
    "told not to divide": ("engine", "pass", "loss, scale_wrt_gas=False", MISSING, "a division is missing"),
    "told so, by its own number": (
        "engine",
        "pass",
        "loss / engine.gradient_accumulation_steps(), scale_wrt_gas=False",
        CORRECT,
        "None",
    ),
    "told so, by a number": ("engine", CONFIGURED, "loss / 8, scale_wrt_gas=False", CORRECT, "None"),
    "a number of something else": ("engine", CONFIGURED, "loss / 2", CORRECT, "None"),
    "a stranger": ("manager", "pass", "loss", LACKS, NOT_TOLD),
}


@pytest.mark.parametrize("name", ENGINES)
def test_who_divides_where_something_else_runs_backward(verifier: Verifier, name: str) -> None:
    owner, setup, backward, outcome, reason = ENGINES[name]
    source = ENGINE.format(owner=owner, setup=setup, backward=backward).replace("model(", f"{owner}(", 1)
    verdict = verdict_of(verifier, source)
    assert verdict.outcome is outcome and reason in str(verdict.reason), verdict


def test_an_optimizer_that_runs_backward_does_not_divide(verifier: Verifier) -> None:
    divided = window(LISTED, f"{OF_WINDOW}", COUNT_IN_LIST).replace("loss.backward()", "optimizer.backward(loss)")
    assert verdict_of(verifier, divided).outcome is CORRECT
    again = divided.replace("optimizer.backward(loss)", "optimizer.backward(loss / len(batch))")
    assert verdict_of(verifier, again).outcome is MISSING
