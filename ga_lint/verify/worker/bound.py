"""What stands for each role of a loop's names, and for a name without a definition?"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import nn

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.guesses import LIMITS, NEVER, AnyShapeLoss, drop_in, guess, reductions_of
from ga_lint.verify.worker.harness import data, lightning
from ga_lint.verify.worker.harness.engines import Accelerate, Engine, Fabric
from ga_lint.verify.worker.harness.models import TinyModel
from ga_lint.verify.worker.harness.neutral import NullContext
from ga_lint.verify.worker.harness.stack import Capture, Endless, Loader, Optimizer, Progress, Scaler, Scheduler, trange
from ga_lint.verify.worker.harness.stand_ins import MISSING, Quiet, Recorder
from ga_lint.verify.worker.harness.tokens import Tokenizer
from ga_lint.verify.worker.reading.feeds import Feed, size_named
from ga_lint.verify.worker.reading.layout import ONE_TENSOR
from ga_lint.verify.worker.reading.lightning_loop import LOADER_NAME, OPTIMIZER_NAME
from ga_lint.verify.worker.reading.loop_text import Reading
from ga_lint.verify.worker.reading.roles import LOADER, LOSS, PROGRESS
from ga_lint.verify.worker.reading.sources import last
from ga_lint.verify.worker.reading.steps import ACCUMULATION
from ga_lint.verify.worker.subjects import Context

_CONTEXT = re.compile(
    r"^(autocast|amp_ctx|ctx|context|type_ctx|\w*_ctx|\w*autocast\w*|\w*_context|ctx_\w+)$", re.IGNORECASE
)
_NOT_THE_STEPS = re.compile(r"loss|grads?$|ctx|context|metric|state|^is_|should|counter$|idx|cur|tokens", re.IGNORECASE)
_MOVES = re.compile(
    r"^_?((move|send|copy|put|cast|batch|data|tensors?|inputs?)_)?(to|on)_(device|cuda|gpu|xpu)$|^cast_inputs$"
)
_OTHER_HEAD = re.compile(r"reward|critic|^rm_|_rm$|value_model|ranker|classifier|vae|unet|discriminator", re.IGNORECASE)
_OF_NUMBERS = frozenset({"item", "detach", "cpu", "to", "float", "append", "mean", "div_"})
_LIMIT = re.compile(LIMITS, re.IGNORECASE)
_OF_LIGHTNING = {
    LOADER_NAME: "loader",
    OPTIMIZER_NAME: "optimizer",
    "self.optimizers": "optimizers",
    "self.lr_schedulers": "schedulers",
    "self.manual_backward": "backward",
}
_OF_A_TRAINER = {
    "self.trainer": "trainer",
    "self.all_gather": "gather",
    "self.parameters": "parameters",
    "self.named_parameters": "named parameters",
}
_BY_NAME = (  # for names that are not called: what they are when nothing else says so
    (re.compile(r"iterator$|_iter$", re.IGNORECASE), "iterator"),
    (LOADER, "loader"),
    (
        re.compile(
            r"^(net|model|ddp_model|raw_model|base_model|unwrapped_model|actor(_module|_model)?)$", re.IGNORECASE
        ),
        "model",
    ),
    (re.compile(r"^(optim|optimizer|opt)_?\d*$", re.IGNORECASE), "optimizer"),
    (re.compile(r"sched", re.IGNORECASE), "scheduler"),
    (re.compile(r"^tokenizer$", re.IGNORECASE), "tokenizer"),
    (re.compile(r"scaler", re.IGNORECASE), "scaler"),
    (re.compile(r"^accelerator$", re.IGNORECASE), "accelerator"),
    (re.compile(r"^fabric$", re.IGNORECASE), "fabric"),
)


class Bound:
    """Who knows what a name means; the objects of each role are made when they are asked for first."""

    reading: Reading
    context: Context
    recorder: Recorder
    steps: int
    head: str
    feed: Feed
    longest: int  # rows of the longest item of the loader
    batches: list[Any]
    model: TinyModel
    wrapped: nn.Module  # the model as ranks have it
    capture: Capture

    def __init__(self) -> None:
        self._made: dict[str, object] = {}

    def bind(self, name: str) -> object:
        """Names whose use gives them a role; a loss is taken from its definition first."""
        driven = _OF_A_TRAINER if self.reading.slice.is_driven else {}
        role = _OF_LIGHTNING.get(name) or driven.get(name) or self.reading.roles.get(name, "loss")
        if role in ("model", "engine") and _OTHER_HEAD.search(last(name)):
            raise NotVerifiable(f"needs the loss of `{name}`, which is not a language model's")
        if role == "loss" and _LIMIT.search(last(name)) and name not in self.reading.called | self.reading.counted:
            return NEVER
        if role == "driver":
            raise NotVerifiable(f"needs to know what `{name}.backward` makes of the loss")
        return MISSING if role == "loss" else self.by_role(role)

    def by_role(self, role: str) -> object:
        if role not in self._made:
            self._made[role] = self._make(role)
        return self._made[role]

    def _make(self, role: str) -> object:
        makers: dict[str, Callable[[], object]] = {
            "model": lambda: self.wrapped,
            "teacher": self._teacher,
            "unwrap": lambda: lambda model, *_, **__: model,
            "engine": self._engine,
            "scheduler": Scheduler,
            "scaler": Scaler,
            "fabric": lambda: Fabric(self.wrapped),
            "iterator": lambda: Endless(self.batches),
            "tokenizer": lambda: Tokenizer([without_labels(batch) for batch in self.batches]),
            "batch function": lambda: Endless(self.batches).next_batch,
            "optimizers": lambda: lambda *_, **__: self.by_role("optimizer"),
            "schedulers": lambda: lambda *_, **__: Scheduler(),
            "trainer": lambda: lightning.Trainer(self.steps),
            "gather": lambda: lightning.all_gather,
            "parameters": lambda: self.model.parameters,
            "named parameters": lambda: self.model.named_parameters,
            "backward": lambda: lambda loss, *_, **__: loss.backward(),
            "accelerator": lambda: self._accelerate().accelerator,
            "optimizer": lambda: self._accelerate().optimizer if self._is_accelerated else Optimizer(self.capture),
            "loader": lambda: self._accelerate().loader if self._is_accelerated else Loader(self.batches),
        }
        return makers[role]()

    @property
    def _is_accelerated(self) -> bool:
        return "accelerator" in self.reading.roles.values()

    def _accelerate(self) -> Accelerate:
        steps = self.steps if self.reading.accelerator_divides else 1
        made = self._made.get("accelerate") or Accelerate(self.capture, self.batches, steps)
        assert isinstance(made, Accelerate)
        self._made["accelerate"] = made
        return made

    def _engine(self) -> object:
        gated = self.reading.gates_engine
        if gated:
            self.recorder.assume("the engine divides by its steps, and steps where the loop's own gate says")
        return Engine(self.capture, self.steps, gated=gated)

    def _teacher(self) -> object:
        self.recorder.assume("the teacher or reference model is a second tiny model")
        return self.tiny_model(self.context.job.seed + 9)

    def guess(self, name: str) -> object:
        """A free name without a definition: by its role, then by what it is called."""
        part, reading = last(name), self.reading
        role = reading.roles.get(name, "loss")
        if role != "loss":
            return self.by_role(role)
        called = name in reading.called
        if self.feed is Feed.WINDOW and not called:
            size = size_named(part, 1 if self.steps > 1 else self.longest, max(self.steps, self.longest))
            if size is not None:
                return size
        if part in ("tqdm", "track"):
            return Progress
        if part == "trange":
            return trange
        if PROGRESS.search(part):
            return Progress if called else Quiet()
        if ACCUMULATION.search(part) and not _NOT_THE_STEPS.search(part):
            return (lambda *_, **__: self.steps) if called else self.steps
        if _CONTEXT.search(part):
            return NullContext()
        if LOSS.search(part) and (called or "." not in name):
            return self._cross_entropy(name)
        if called:
            return self._mover(name)
        if reading.layout == ONE_TENSOR and re.search(r"(seq|block|context|max)_?(len|size)", part):
            return self.model.max_seq_length
        if part == "device" or not reading.members.get(name, set()) - _OF_NUMBERS:
            value = guess(name, reading.module, self.recorder)
            if value is not MISSING:
                return value
        for pattern, by_name in _BY_NAME:
            if pattern.search(part):
                return self.by_role(by_name)
        return MISSING

    def _mover(self, name: str) -> object:
        """What only carries a batch to a device gives it back; a kernel's loss is torch's."""
        if not _MOVES.search(last(name)):
            return drop_in(name, self.recorder)
        self.recorder.assume(f"`{name}` gives back what it is given")
        return lambda value, *_, **__: value

    def _cross_entropy(self, name: str) -> object:
        reductions = reductions_of(last(name), self.reading.module)
        if len(reductions) > 1:
            return MISSING
        (reduction,) = reductions or {"mean"}
        told = f"reduction={reduction!r}" if reductions else ""
        self.recorder.assume(f"`{name}` is nn.CrossEntropyLoss({told})")
        return AnyShapeLoss(ignore_index=self.reading.ignore, reduction=reduction)

    def tiny_model(self, seed: int) -> TinyModel:
        returns, shifts = self.reading.interface
        shifts = shifts and self.head == "causal"
        model = TinyModel(returns, shifts, self.head, self.reading.ignore, self.context.dtype, seed)
        model.predicts_inputs = self.reading.layout == ONE_TENSOR
        return model


def without_labels(batch: Any) -> Any:
    if not isinstance(batch, data.Batch):
        return batch
    return data.Batch({key: value for key, value in batch.items() if key != "labels"})
