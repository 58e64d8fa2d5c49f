"""Is a rewritten LightningModule right? Against the full batch, after every optimizer step, on one and two ranks.

Each form runs on a stand-in that works everywhere, and on the real Lightning where that is installed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from ga_lint.config import Config
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.scope import Scope
from ga_lint.project import Project
from testbed import lightning_like
from testbed.accumulation import (
    LEARNING_RATE,
    STEPS,
    Batch,
    Recorder,
    TinyModel,
    flat,
    micro_batches,
    oracle,
    token_loss,
    windows_of,
    worst,
)
from testbed.fixtures import Fixture, diagnostics, fix

pytestmark = [
    pytest.mark.xdist_group("fix_lightning"),  # what is set up once stays in one process
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

EXACT, FAR, RANKS, COUNT = 1e-10, 1e-2, 2, 10
INSTALLED = importlib.util.find_spec("lightning") is not None
LIBRARIES = ["like", pytest.param("real", marks=pytest.mark.skipif(not INSTALLED, reason="lightning is not installed"))]

HEAD = """import lightning as L
import torch
import torch.nn.functional as F
from torch.nn import CrossEntropyLoss


class LM(L.LightningModule):
"""
INIT = """    def __init__(self, model, optimizer):
        super().__init__()
        self.model, self.optimizer = model, optimizer
        self.criterion = CrossEntropyLoss(ignore_index=-100)
"""
TAIL = """
    def configure_optimizers(self):
        return self.optimizer


def train(model, loader, optimizer, steps, **options):
    trainer = L.Trainer(accumulate_grad_batches=steps, **options)
    module = LM(model, optimizer)
    trainer.fit(module, loader)
    return module
"""
LOGITS = """        logits = self.model(batch["input_ids"]).logits[:, :-1]
"""
FORMS = {
    "the call returned": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        return F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
""",
    "named and returned": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        targets = batch["labels"][:, 1:]
        loss = F.cross_entropy(ignore_index=-100, input=logits.flatten(0, 1), target=targets.flatten())
        return loss
""",
    "logged": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
        self.log("train_loss", loss)
        return loss
""",
    "a dictionary": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        loss = self.criterion(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
        return {{"train_loss": loss.detach(), "loss": loss}}
""",
    "a dictionary with a name": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        loss = self.criterion(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
        output = dict(logs=[loss.detach()], loss=loss)
        return output
""",
    "a helper": f"""{INIT}
    def _shared_step(self, batch):
{LOGITS}        return F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())

    def training_step(self, batch, batch_idx):
        loss = self._shared_step(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("validation_loss", self._shared_step(batch))
""",
    "masked": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        targets = batch["labels"][:, 1:]
        nll = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        mask = targets != -100
        return (nll * mask).sum() / mask.sum()
""",
    "a hook of its own": f"""{INIT}
    def on_before_optimizer_step(self, optimizer):
        \"\"\"Logs the norm.\"\"\"
        norms = [parameter.grad.norm() for parameter in self.parameters()]
        self.log("norm", torch.stack(norms).norm())

    def training_step(self, batch, batch_idx):
{LOGITS}        return 0.5 * F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten()) * 2
""",
    "labels masked on the way": f"""{INIT}
    def training_step(self, batch, batch_idx):
{LOGITS}        labels = batch["labels"].clone()
        labels[labels == 3] = -100
        labels[:, 1:][batch["labels"][:, 1:] == 3] = 3
        return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
""",
}


def written(text: str, tail: str = TAIL) -> str:
    """The form after `fix`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.py"
        path.write_text(HEAD + text + tail)
        return fix(Fixture(path, Path(folder)))


def run(text: str, library: str, batches: list[Batch], **options: Any) -> tuple[list[torch.Tensor], Any]:
    """The parameters after each step, and the module."""
    known = sys.modules.get("lightning")
    if library == "like":
        sys.modules["lightning"] = lightning_like.as_module()
    else:
        quiet = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        options = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, **quiet, **options}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Lightning has to say about loaders and workers
            names: dict[str, Any] = {}
            exec(compile(text, "module.py", "exec"), names)
            model = TinyModel()
            recorder = Recorder(model)
            loader: Any = torch.utils.data.DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
            module = names["train"](model, loader, recorder.optimizer, STEPS, **options)
            return recorder.seen, module
    finally:
        if library == "like":
            sys.modules.pop("lightning")
            if known is not None:
                sys.modules["lightning"] = known


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("form", FORMS)
def test_equals_the_full_batch(form: str, library: str) -> None:
    """Three full windows and a short one."""
    batches, text = micro_batches(), written(FORMS[form])
    wanted = oracle(windows_of(batches))
    assert worst(run(HEAD + FORMS[form] + TAIL, library, batches)[0], wanted) > FAR
    assert worst(run(text, library, batches)[0], wanted) < EXACT


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_class_without_a_constructor(library: str) -> None:
    """The count starts as an attribute of the class."""
    text = FORMS["named and returned"].removeprefix(INIT)
    tail = TAIL.replace("LM(model, optimizer)", "LM()\n    module.model, module.optimizer = model, optimizer")
    fixed, batches = written(text, tail), micro_batches()
    assert "    window_targets = 0" in fixed
    assert worst(run(fixed, library, batches)[0], oracle(windows_of(batches))) < EXACT


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("self.trainer.accumulate_grad_batches * ", ""),  # what Lightning divided by
        ("        self.window_targets = 0\n\n", "\n"),  # the next window counts this one's too
        ('(batch["labels"][:, 1:] != -100)', '(batch["labels"] != -100)'),
    ],
)
def test_wrong_variants_are_far_off(right: str, wrong: str, library: str) -> None:
    text = written(FORMS["logged"])
    assert right in text
    wanted = oracle(windows_of(micro_batches()))
    assert worst(run(text.replace(right, wrong), library, micro_batches())[0], wanted) > FAR


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_window_without_targets_moves_nothing(library: str) -> None:
    text = written(FORMS["the call returned"])
    seen, _ = run(text, library, micro_batches([(0, 0)] * STEPS))
    assert worst([*seen], [flat(TinyModel())]) != worst([], [flat(TinyModel())])
    assert torch.equal(seen[0], flat(TinyModel()))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_norm_is_clipped_after_the_division(library: str) -> None:
    """As the full batch is clipped, at a threshold that every window exceeds."""
    batches = micro_batches()
    clipped = run(written(FORMS["logged"]), library, batches, gradient_clip_val=0.1)[0]
    model, wanted = TinyModel(), []
    for window in windows_of(batches):
        whole = {key: torch.cat([batch[key] for batch in window]) for key in window[0]}
        model.zero_grad()
        token_loss(model(whole["input_ids"]).logits, whole["labels"], True, "mean").backward()  # type: ignore[no-untyped-call]
        assert torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1) > 0.1
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.sub_(LEARNING_RATE * parameter.grad)
        wanted.append(flat(model))
    assert worst(clipped, wanted) < 1e-5  # clip_grad_norm_ adds 1e-6 to the norm


def test_what_is_logged_stays_a_mean() -> None:
    batches = micro_batches()
    before = run(HEAD + FORMS["logged"] + TAIL, "like", batches)[1].logged
    after = run(written(FORMS["logged"]), "like", batches)[1].logged
    assert after[0] == before[0]  # later ones differ by what was learned
    assert all(0 < value < 5 for _, value in after)


def _rank(rank: int, folder: str, text: str, library: str) -> None:
    torch.set_num_threads(1)
    launched = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": RANKS, "LOCAL_WORLD_SIZE": RANKS}
    os.environ.update({name: str(value) for name, value in launched.items()}, TORCHELASTIC_RUN_ID="none")
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29500")  # asked for, not used: the group exists already
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    options = {"strategy": "ddp", "devices": RANKS, "use_distributed_sampler": False} if library == "real" else {}
    seen = run(text, library, micro_batches()[:COUNT][rank::RANKS], **options)[0]
    if rank == 0:
        torch.save(seen, Path(folder) / "seen.pt")
    if dist.is_initialized():
        dist.destroy_process_group()


@functools.cache
def on_two_ranks(text: str, library: str) -> list[torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        start_processes(_rank, (folder, text, library), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
        seen: list[torch.Tensor] = torch.load(Path(folder) / "seen.pt")
        return seen


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_ranks_equal_the_full_batch(library: str) -> None:
    """Five micro-batches a rank: a full window and a short one."""
    shards = [windows_of(micro_batches()[:COUNT][rank::RANKS]) for rank in range(RANKS)]
    wanted = oracle([a + b for a, b in zip(*shards, strict=True)])
    text = written(FORMS["logged"])
    assert worst(on_two_ranks(HEAD + FORMS["logged"] + TAIL, library), wanted) > FAR
    assert worst(on_two_ranks(text, library), wanted) < EXACT
    of_one_rank = text.replace("self.all_gather(self.window_targets).sum()", "self.window_targets")
    assert worst(on_two_ranks(of_one_rank, library), wanted) > FAR


LOGGED = FORMS["logged"]
REFUSED = {
    "class weights": (LOGGED.replace(".flatten())", ".flatten(), weight=self.weight)"), "class weights"),
    "two terms": (LOGGED.replace("return loss", "return loss + self.model.balance(logits)"), "sum of terms"),
    "two terms under another name": (
        LOGGED.replace("return loss", "total = loss + self.fine()\n        return total"),
        "sum of terms",
    ),
    "two terms under two names": (
        LOGGED.replace("return loss", "total = self.last = loss + self.fine()\n        return total"),
        "sum of terms",
    ),
    "two terms under an annotated name": (
        LOGGED.replace("return loss", "total: torch.Tensor = loss + self.fine()\n        return total"),
        "sum of terms",
    ),
    "two terms apart": (LOGGED.replace("return loss", "loss += self.fine()\n        return loss"), "sum of terms"),
    "divided by hand": (LOGGED.replace("return loss", "return loss / self.heads"), "divided by hand"),
    "multiplied by the ranks": (
        LOGGED.replace("return loss", "return loss * self.trainer.world_size"),
        "multiplied by the number of ranks",
    ),
    "over a mask of its own making": (
        FORMS["masked"].replace("(nll * mask)", "nll").replace("targets != -100", "self.mask(batch)"),
        "the mean is over `mask`, which is made in the loop",
    ),
    "several optimizers": (
        f"{LOGGED}\n    def configure_optimizers(self):\n        return [self.first, self.second], []\n",
        "several optimizers",
    ),
    "read at the end of the epoch": (
        f"{LOGGED}\n    def training_epoch_end(self, outputs):\n        print(outputs[0]['loss'])\n",
        "reads the loss",
    ),
    "gradients read before the hook": (
        f"{LOGGED}\n    def on_after_backward(self):\n        self.log('grad', self.model.head.weight.grad.norm())\n",
        "reads the gradients",
    ),
    "called by validation_step": (
        f"{LOGGED}\n    def validation_step(self, batch, index):\n        return self.training_step(batch, index)\n",
        "calls training_step",
    ),
    "scaled in a hook already": (
        f"{LOGGED}\n    def on_before_optimizer_step(self, optimizer):\n        self.w.grad.mul_(self.scale)\n",
        "scales the gradients already",
    ),
    "bound again, annotated": (
        LOGGED.replace("return loss", "batch: object = None\n        return loss"), "batch gets another value"
    ),
    "bound again": (LOGGED.replace("return loss", "batch = None\n        return loss"), "batch gets another value"),
    "taken apart, and handed to a helper": (
        FORMS["a helper"].replace("        loss = ", "        batch = batch['part']\n        loss = ", 1),
        "batch gets another value",
    ),
    "set elsewhere": (
        LOGGED.replace("return loss", "output = {}\n        output['loss'] = loss\n        return output"),
        "set elsewhere",
    ),
    "set twice": (
        LOGGED.replace("return loss", "output = {}\n        output = dict(loss=loss)\n        return output"),
        "set elsewhere",
    ),
    "popped by a helper": (
        FORMS["a helper"].replace('batch["labels"]', 'batch.pop("labels")'),
        "popped",
    ),
    "one return is not followed": (
        LOGGED.replace("return loss", "if batch_idx:\n            return self.other(batch)\n        return loss"),
        "could not be followed",
    ),
    "an heir": (
        f"{LOGGED}\n\nclass Own(LM):\n    def training_step(self, batch, index):\n        return self.other(batch)\n",
        "a class that extends LM",
    ),
    "DeepSpeed": (LOGGED.replace("return loss", "return loss  # with DeepSpeed or without"), "DeepSpeed"),
}  # fmt: skip


def refusal_of(text: str, folder: Path) -> str:
    path = folder / "module.py"
    path.write_text(HEAD + text + (TAIL.partition("\n\n\n")[2] if "configure_optimizers" in text else TAIL))
    before = path.read_text()
    assert fix(Fixture(path, folder)) == before
    scope = Scope(Config(root=folder), Project(folder))
    outcome, _ = fix_bytes(path, before.encode(), scope, Policy(unsafe=True, write=False))
    [found] = [each for each in diagnostics(outcome) if each.finding.code == "GA301"]
    return found.finding.fix_refusal or ""


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_surely_right_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    assert reason in refusal_of(text, tmp_path)


@pytest.mark.parametrize(
    ("requirement", "parameters"),
    [
        ("lightning>=2.0", "self, optimizer"),
        ("pytorch-lightning==1.9.5", "self, optimizer, optimizer_idx=0"),
        ("pytorch-lightning>=1.8", "self, optimizer, optimizer_idx=0"),
        ("pytorch-lightning<1.5", "self, optimizer, optimizer_idx=0"),
        ("torch", "self, optimizer"),
    ],
)
def test_the_hook_takes_what_the_release_passes(requirement: str, parameters: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(HEAD + LOGGED + TAIL)
    (tmp_path / "requirements.txt").write_text(requirement + "\n")
    assert f"def on_before_optimizer_step({parameters}):" in fix(Fixture(path, tmp_path))


@pytest.mark.parametrize("requirement", ["pytorch-lightning==1.2.10", "pytorch-lightning<1.4"])
def test_a_release_without_the_hook_is_left_alone(requirement: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(requirement + "\n")
    assert "before 1.4 has no hook" in refusal_of(LOGGED, tmp_path)
