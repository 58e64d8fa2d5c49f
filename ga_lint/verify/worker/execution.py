"""What do the names of a loop stand for? One run of it: its free names are bound when it asks for them."""

from __future__ import annotations

import ast
import contextlib
import copy
import re
from collections.abc import Callable, Sequence

import torch
from torch import nn

from ga_lint.verify.worker import data
from ga_lint.verify.worker.averaging import data_parallel
from ga_lint.verify.worker.bookkeeping import without
from ga_lint.verify.worker.data import Row
from ga_lint.verify.worker.engines import Accelerate, Engine, Fabric
from ga_lint.verify.worker.examine import Context
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.layout import ONE_TENSOR
from ga_lint.verify.worker.loop_self import SelfStandIn
from ga_lint.verify.worker.loop_slice import ACCUMULATION, STEPS_NAME, Flatten, ReplaceSteps
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
    Feed,
    Loader,
    Optimizer,
    Progress,
    Scaler,
    Scheduler,
    trange,
)
from ga_lint.verify.worker.stand_ins import MISSING, Finished, NotVerifiable, Quiet, Unknown

_CONTEXT = re.compile(r"^(autocast|amp_ctx|ctx|context|type_ctx|\w*_ctx|\w*autocast\w*|\w*_context|ctx_\w+)$", re.I)
_NOT_THE_STEPS = re.compile(r"loss|grads?$|ctx|context|metric|state|^is_|should|counter$|idx|cur|tokens", re.I)
_OTHER_HEAD = re.compile(r"reward|critic|^rm_|_rm$|value_model|ranker|classifier|vae|unet|discriminator", re.I)
_OF_NUMBERS = frozenset({"item", "detach", "cpu", "to", "float", "append", "mean", "div_"})
_BY_NAME = (  # for names that are not called: what they are when nothing else says so
    (LOADER, "loader"),
    (re.compile(r"^(net|model|ddp_model|raw_model|base_model|unwrapped_model)$", re.I), "model"),
    (re.compile(r"^(optim|optimizer|opt)$", re.I), "optimizer"),
    (re.compile(r"sched", re.I), "scheduler"),
    (re.compile(r"scaler", re.I), "scaler"),
    (re.compile(r"^accelerator$", re.I), "accelerator"),
    (re.compile(r"^fabric$", re.I), "fabric"),
)


class Execution:
    """One run of the loop: its own model, optimizer and namespace."""

    def __init__(
        self, reading: Reading, context: Context, groups: Sequence[Sequence[Row]], steps: int, head: str
    ) -> None:
        self.reading, self.context, self.steps, self.head = reading, context, steps, head
        self.recorder = context.recorder
        self.model = self._tiny_model(context.job.seed)
        self.wrapped: nn.Module = self.model
        if reading.stack is not None and reading.stack.takes is not None:
            self.wrapped = data_parallel(self.model, reading.stack.takes)
        self.capture = Capture(self.model, context.steady)
        for member in reading.model_members:
            self.model.extras[member] = Unknown(f"model.{member}", self.recorder)
        self.batches = [self._batch(group) for group in groups]
        self._replace = ReplaceSteps(reading.steps)
        self._made: dict[str, object] = {}
        self.space = self._namespace()

    def execute(self, left_out: frozenset[int]) -> None:
        """Run the loop to its end or to the last window, without the statements that start in these rows."""
        loop = without(copy.deepcopy(self.reading.slice.loop), left_out)
        loop = Flatten().visit(self._replace.visit(loop))
        code = compiled(ast.Module([loop], []), self.reading.module.path, "exec")
        with contextlib.suppress(Finished):
            exec(code, self.space)

    def _namespace(self) -> Namespace:
        module, found = self.reading.module, self.reading.slice
        files = Files(project_root(module.path), self.recorder)
        files.guess, files.rewrite = self.guess, self._replace.visit
        harness = {STEPS_NAME: self.steps, "__ga_finished__": Finished}
        outer = space = files.module_namespace(module, self.bind, found.loop.lineno if found.function is None else None)
        outer.update(harness)
        for function in reversed(module.functions_around(found.loop)):
            space = space.inner(function, found.loop.lineno, self.bind)
            space.update(harness)
        if found.owner is not None:
            space["self"] = SelfStandIn(self, outer, found.owner)
        return space

    def _tiny_model(self, seed: int) -> TinyModel:
        returns, shifts = self.reading.interface
        shifts = shifts and self.head == "causal"
        return TinyModel(returns, shifts, self.head, self.reading.ignore, self.context.dtype, seed)

    def _batch(self, group: Sequence[Row]) -> object:
        reading = self.reading
        batch = data.add_derived(data.collate(group, self.head, reading.ignore), reading.keys)
        if not reading.interface[1] and self.head == "causal":  # the data is shifted, as in nanoGPT
            end = torch.full_like(batch["labels"][:, :1], reading.ignore)
            batch["labels"] = torch.cat([batch["labels"][:, 1:], end], 1)
        if reading.layout is None:
            return batch
        if reading.layout == ONE_TENSOR:
            self.model.max_seq_length = batch["input_ids"].shape[1] - 1
            return batch["input_ids"]
        parts = ((name, data.derived(batch, name)) for name in reading.layout)
        return tuple(Unknown(f"batch.{name}", self.recorder) if part is None else part for name, part in parts)

    def bind(self, name: str) -> object:
        """Names whose use gives them a role; a loss is taken from its definition first."""
        role = self.reading.roles.get(name, "loss")
        if role in ("model", "engine") and _OTHER_HEAD.search(last(name)):
            raise NotVerifiable(f"needs the loss of `{name}`, which is not a language model's")
        return MISSING if role == "loss" else self.by_role(role)

    def by_role(self, role: str) -> object:
        if role not in self._made:
            self._made[role] = self._make(role)
        return self._made[role]

    def _make(self, role: str) -> object:
        makers: dict[str, Callable[[], object]] = {
            "model": lambda: self.wrapped,
            "teacher": self._teacher,
            "engine": self._engine,
            "scheduler": Scheduler,
            "scaler": Scaler,
            "fabric": lambda: Fabric(self.wrapped),
            "iterator": lambda: Feed(self.batches),
            "tokenizer": lambda: Feed([_without_labels(batch) for batch in self.batches]).next_batch,
            "batch function": lambda: Feed(self.batches).next_batch,
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
            return MISSING
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

    def _cross_entropy(self, name: str) -> object:
        self.recorder.assume(f"`{name}` is nn.CrossEntropyLoss()")
        return nn.CrossEntropyLoss(ignore_index=self.reading.ignore)


def _without_labels(batch: object) -> object:
    if not isinstance(batch, data.Batch):
        return batch
    return data.Batch({key: value for key, value in batch.items() if key != "labels"})
