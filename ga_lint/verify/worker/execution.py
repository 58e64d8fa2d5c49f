"""What do the names of a loop stand for? One run of it: its free names are bound when it asks for them."""

from __future__ import annotations

import ast
import contextlib
import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ga_lint.verify.worker import data, lightning, ranks
from ga_lint.verify.worker.adapter import Watched
from ga_lint.verify.worker.averaging import data_parallel
from ga_lint.verify.worker.bookkeeping import without
from ga_lint.verify.worker.data import Row
from ga_lint.verify.worker.draws import OWN_DRAWS, Draws
from ga_lint.verify.worker.engines import Accelerate, Engine, Fabric
from ga_lint.verify.worker.examine import Context
from ga_lint.verify.worker.feeds import Feed, Window, size_named
from ga_lint.verify.worker.guesses import LIMITS, NEVER, AnyShapeLoss, drop_in, guess, reductions_of
from ga_lint.verify.worker.layout import ONE_TENSOR
from ga_lint.verify.worker.lightning import LOADER_NAME, LOSS_OF, OPTIMIZER_NAME, loss_of
from ga_lint.verify.worker.loop_self import SelfStandIn
from ga_lint.verify.worker.loop_slice import Flatten
from ga_lint.verify.worker.models import TinyModel
from ga_lint.verify.worker.namespace import Loader as Files
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.neutral import NullContext
from ga_lint.verify.worker.reading import Reading
from ga_lint.verify.worker.roles import LOADER, LOSS, PROGRESS
from ga_lint.verify.worker.slice_builtins import compiled
from ga_lint.verify.worker.sources import last, project_root
from ga_lint.verify.worker.stack import (
    Capture,
    Endless,
    Loader,
    Optimizer,
    Progress,
    Scaler,
    Scheduler,
    trange,
)
from ga_lint.verify.worker.stand_ins import MISSING, Finished, NotVerifiable, Quiet, Unknown
from ga_lint.verify.worker.steps import ACCUMULATION, STEPS_NAME, ReplaceSteps
from ga_lint.verify.worker.tokens import Tokenizer
from ga_lint.verify.worker.unpacking import with_passages

_CONTEXT = re.compile(r"^(autocast|amp_ctx|ctx|context|type_ctx|\w*_ctx|\w*autocast\w*|\w*_context|ctx_\w+)$", re.I)
_NOT_THE_STEPS = re.compile(r"loss|grads?$|ctx|context|metric|state|^is_|should|counter$|idx|cur|tokens", re.I)
_MOVES = re.compile(
    r"^_?((move|send|copy|put|cast|batch|data|tensors?|inputs?)_)?(to|on)_(device|cuda|gpu|xpu)$|^cast_inputs$"
)
_OTHER_HEAD = re.compile(r"reward|critic|^rm_|_rm$|value_model|ranker|classifier|vae|unet|discriminator", re.I)
_OF_NUMBERS = frozenset({"item", "detach", "cpu", "to", "float", "append", "mean", "div_"})
_LIMIT = re.compile(LIMITS, re.I)
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
    (LOADER, "loader"),
    (re.compile(r"^(net|model|ddp_model|raw_model|base_model|unwrapped_model|actor(_module|_model)?)$", re.I), "model"),
    (re.compile(r"^(optim|optimizer|opt)$", re.I), "optimizer"),
    (re.compile(r"sched", re.I), "scheduler"),
    (re.compile(r"scaler", re.I), "scaler"),
    (re.compile(r"^accelerator$", re.I), "accelerator"),
    (re.compile(r"^fabric$", re.I), "fabric"),
)


class Execution:
    """One run of the loop: its own model, optimizer and namespace."""

    def __init__(
        self,
        reading: Reading,
        context: Context,
        groups: Sequence[Sequence[Row]],
        steps: int,
        head: str,
        feed: Feed = Feed.MICRO_BATCH,
    ) -> None:
        self.reading, self.context, self.steps, self.head = reading, context, steps, head
        self.recorder = context.recorder
        self.model = self._main_model()
        self.wrapped: nn.Module = self.model
        if reading.stack is not None and reading.stack.takes is not None:
            self.wrapped = data_parallel(self.model, reading.stack.takes)
        self.capture = Capture(self.model, context.steady)
        for member in reading.model_members:
            self.model.extras[member] = Unknown(f"model.{member}", self.recorder)
        self.draws_differ = self.drew = False
        self._sizes = frozenset({1} if steps > 1 else map(len, groups))  # rows of a micro-batch
        self.feed, self._longest = feed, max(map(len, groups))
        self.batches = [self._item(group) for group in groups]
        self._replace = ReplaceSteps(reading.steps)
        self._made: dict[str, object] = {}
        self.space = self._namespace()

    def execute(self, left_out: frozenset[int]) -> None:
        """Run the loop to its end or to the last window, without the statements that start in these rows."""
        loop = without(copy.deepcopy(self.reading.slice.loop), left_out)
        loop = with_passages(Flatten().visit(self._replace.visit(loop)))
        code = compiled(ast.Module([loop], []), self.reading.module.path, "exec")
        self.context.steady.draws = Draws(self.draws_differ, self._sizes, self._first_row, self._note_draws)
        with contextlib.suppress(Finished):
            exec(code, self.space)

    def _first_row(self) -> int:
        """The place in its window, over all ranks, of the row that the next micro-batch begins with."""
        return ranks.rank() * self.steps + self.capture.passes

    def _note_draws(self) -> None:
        self.recorder.assume(OWN_DRAWS)
        self.drew = True

    def _namespace(self) -> Namespace:
        module, found = self.reading.module, self.reading.slice
        files = Files(project_root(module.path), self.recorder)
        files.guess, files.rewrite, files.code = self.guess, self._replace.visit, self.reading.code
        harness = {STEPS_NAME: self.steps, "__ga_finished__": Finished, LOSS_OF: loss_of}
        outer = space = files.module_namespace(module, self.bind, found.loop.lineno if found.function is None else None)
        outer.update(harness)
        for function in reversed(module.functions_around(found.loop)):
            space = space.inner(function, found.loop.lineno, self.bind)
            space.update(harness)
        if found.owner is not None:
            space["self"] = SelfStandIn(self, outer, found.owner)
        return space

    def _main_model(self) -> TinyModel:
        adapter, job = self.context.adapter, self.context.job
        if adapter is None or adapter.make_model is None:
            return self._tiny_model(job.seed)
        return Watched(adapter.model(self.context.dtype, job.seed))  # type: ignore[return-value]

    def _tiny_model(self, seed: int) -> TinyModel:
        returns, shifts = self.reading.interface
        shifts = shifts and self.head == "causal"
        return TinyModel(returns, shifts, self.head, self.reading.ignore, self.context.dtype, seed)

    def _item(self, group: Sequence[Row]) -> object:
        """What the loader yields for these rows."""
        if self.feed is Feed.LIST:
            return [self._batch(part) for part in ([[row] for row in group] if self.steps > 1 else [group])]
        batch = self._batch(group)
        return Window(batch) if self.feed is Feed.WINDOW and isinstance(batch, data.Batch) else batch

    def _batch(self, group: Sequence[Row]) -> object:
        reading, adapter = self.reading, self.context.adapter
        if adapter is not None and adapter.make_batch is not None:
            return adapter.batch(group)
        batch = data.add_derived(data.collate(group, self.head, reading.ignore), reading.keys)
        if not reading.interface[1] and self.head == "causal":  # the data is shifted, as in nanoGPT
            end = torch.full_like(batch["labels"][:, :1], reading.ignore)
            batch["labels"] = torch.cat([batch["labels"][:, 1:], end], 1)
        if reading.unlabelled:
            batch = _without_labels(batch)
        if reading.layout is None or self.feed is Feed.LIST:  # the layout was read from the list
            return batch
        if reading.layout == ONE_TENSOR:
            self.model.max_seq_length = self.model.config.longest = batch["input_ids"].shape[1] - 1
            return batch["input_ids"]
        parts = tuple(data.derived(batch, name) for name in reading.layout)
        # Parts that are batches themselves, or that only their names tell: the code takes them out where it needs them.
        return batch if any(part is None for part in parts) else parts

    def bind(self, name: str) -> object:
        """Names whose use gives them a role; a loss is taken from its definition first."""
        driven = _OF_A_TRAINER if self.reading.slice.is_driven else {}
        role = _OF_LIGHTNING.get(name) or driven.get(name) or self.reading.roles.get(name, "loss")
        if role in ("model", "engine") and _OTHER_HEAD.search(last(name)):
            raise NotVerifiable(f"needs the loss of `{name}`, which is not a language model's")
        if role == "loss" and _LIMIT.search(last(name)) and name not in self.reading.called | self.reading.counted:
            return NEVER
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
            "tokenizer": lambda: Tokenizer([_without_labels(batch) for batch in self.batches]),
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
        return self._tiny_model(self.context.job.seed + 9)

    def guess(self, name: str) -> object:
        """A free name without a definition: by its role, then by what it is called."""
        part, reading = last(name), self.reading
        role = reading.roles.get(name, "loss")
        if role != "loss":
            return self.by_role(role)
        called = name in reading.called
        if self.feed is Feed.WINDOW and not called:
            size = size_named(part, 1 if self.steps > 1 else self._longest, max(self.steps, self._longest))
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


def _without_labels(batch: Any) -> Any:
    if not isinstance(batch, data.Batch):
        return batch
    return data.Batch({key: value for key, value in batch.items() if key != "labels"})
