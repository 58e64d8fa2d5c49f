"""How does a hand-written training loop behave? It is executed alone, its free names bound when it asks for them."""

from __future__ import annotations

import ast
import copy
import re
import traceback
from collections.abc import Callable, Sequence

import torch
from torch import nn

from ga_lint.verify.job import STEPS
from ga_lint.verify.judge import PER_EXAMPLE
from ga_lint.verify.worker import data
from ga_lint.verify.worker.bookkeeping import failing_statement, without
from ga_lint.verify.worker.evidence import equal_counts
from ga_lint.verify.worker.examine import Context, Pair
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.layout import ONE_TENSOR, tuple_layout
from ga_lint.verify.worker.loop_self import SelfStandIn
from ga_lint.verify.worker.loop_slice import (
    ACCUMULATION,
    STEPS_NAME,
    Flatten,
    LoopSlice,
    ReplaceSteps,
    slice_loop,
    steps_expressions,
)
from ga_lint.verify.worker.measure import is_zero
from ga_lint.verify.worker.models import HEAD_GUESSED, TinyModel, head_of
from ga_lint.verify.worker.namespace import Loader as Files
from ga_lint.verify.worker.namespace import Namespace, compiled
from ga_lint.verify.worker.neutral import NullContext
from ga_lint.verify.worker.roles import (
    LOADER,
    LOSS,
    PROGRESS,
    batch_keys,
    ignore_index,
    infer,
    interface,
    usage,
)
from ga_lint.verify.worker.sources import Module, dotted, last, project_root
from ga_lint.verify.worker.stack import (
    Accelerate,
    Capture,
    Engine,
    Fabric,
    Feed,
    Loader,
    Optimizer,
    Progress,
    Scaler,
    Scheduler,
    trange,
)
from ga_lint.verify.worker.stand_ins import MISSING, Finished, NotVerifiable, Quiet, Unknown

FULL_WINDOWS = 3
MICRO_BATCHES = FULL_WINDOWS * STEPS + 2  # three full windows and a short last one
MOST_LEFT_OUT = 12  # beyond this too little of the loop is left to speak of it
_TOKENS = re.compile(r"vocab|token|input_ids|-100|causal|language|gpt|llama|\blm\b", re.I)
_CONTEXT = re.compile(r"^(autocast|amp_ctx|ctx|context|type_ctx|\w*_ctx|\w*autocast\w*|\w*_context|ctx_\w+)$", re.I)
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


class LoopSubject:
    """One loop, run with four micro-batches a window and with each window as one batch."""

    settings: tuple[str, ...] = ("",)
    raises = None
    equal: str | None

    def __init__(self, context: Context, module: Module, row: int | None, original: Module | None) -> None:
        self.context, self.module = context, module
        job = context.job
        order = (original, job.row) if original is not None else None
        self.slice = slice_loop(module, job.scope, row, order)
        # A rewrite keeps the names of the original, but not every use that gave them away.
        before = slice_loop(original, job.scope, job.row, None) if original is not None else self.slice
        self.roles = {**infer(self.slice.nodes, self.slice.loop), **infer(before.nodes, before.loop)}
        self.interface = interface(before.nodes, self.roles)
        self.layout = tuple_layout(before.nodes, self.roles)
        self.keys = batch_keys(before.nodes)
        self.left_out: set[int] = set()
        self.equal = equal_counts((original or module).text)
        if self.layout == ONE_TENSOR:
            self.equal = self.equal or "its batches are one tensor, without padding"
        text = (original or module).text
        self.head = head_of(text) or "causal"
        if head_of(text) is None:
            context.recorder.assume(HEAD_GUESSED)
            self.settings = ("",) if _TOKENS.search(text) else ("", PER_EXAMPLE)
        found = ignore_index(before.nodes)
        self.ignore = data.IGNORE if found is None else found
        used = usage(self.slice.nodes)
        self.called, self.members = set(used.called), used.members
        self.steps = [
            *steps_expressions(self.slice.nodes, self.slice.loop),
            *steps_expressions(before.nodes, before.loop),
        ]
        self.accelerator_divides = _accelerator_has_steps(module, self.slice)

    def pair(self, ragged: bool, setting: str) -> Pair:
        rows = data.rows(ragged, self.context.job.seed)[:MICRO_BATCHES]
        cut = self._run([[row] for row in rows], STEPS, setting)
        groups = [_rows_seen(window, rows) for window in cut.seen]
        if not all(groups):
            raise NotVerifiable(f"needs a forward pass before each optimizer step: steps came after {cut.sizes}")
        whole = self._run([*groups, rows[:1]], 1, setting)
        if _rows_seen(whole.seen[0], rows) != groups[0]:  # a batch that is drawn before the loop, and never used
            whole = self._run([rows[:1], *groups, rows[:1]], 1, setting)
        if [_rows_seen(window, rows) for window in whole.seen[: len(groups)]] != groups:
            raise NotVerifiable("needs its batches under control: without accumulation it steps on other rows")
        full = [n for n, group in enumerate(groups) if len(group) == STEPS == cut.sizes[n]]
        if not full or set(whole.sizes[: len(groups)]) != {1}:
            raise NotVerifiable(
                f"needs its accumulation steps under control: it stepped after {cut.sizes} micro-batches with {STEPS} steps, "
                f"after {whole.sizes} with 1"
            )
        ends = len(groups) - 1
        is_short = full == list(range(ends)) and sum(map(len, groups)) == len(rows)
        chosen = [*full, ends] if is_short else full
        short = ends if is_short else None
        return Pair([cut.gradients[n] for n in chosen], [whole.gradients[n] for n in chosen], short)

    def _run(self, groups: Sequence[Sequence[data.Row]], steps: int, setting: str) -> Capture:
        while True:
            run = _Execution(self, groups, steps, "sequence" if setting == PER_EXAMPLE else self.head)
            torch.manual_seed(self.context.job.seed)
            try:
                run.execute()
                break
            except (Exception, NotVerifiable) as error:
                self._leave_out(error)
        capture = run.capture
        if len(capture.gradients) < FULL_WINDOWS:
            raise NotVerifiable(f"needs an optimizer step in each window: {len(capture.gradients)} were reached")
        if is_zero(capture.gradients):
            raise NotVerifiable("needs a loss that reaches the model: its gradient is zero")
        return capture

    def _leave_out(self, error: BaseException) -> None:
        """Drop the statement that failed if it is bookkeeping, else give the error on."""
        frames = traceback.extract_tb(error.__traceback__)
        rows = [f.lineno for f in frames if f.filename == str(self.module.path) and f.lineno is not None]
        first, end = self.slice.loop.lineno, self.slice.loop.end_lineno or 0
        row = next((row for row in rows if first <= row <= end), None)
        statement = failing_statement(self.slice.loop, row) if row is not None else None
        if statement is None or statement.lineno in self.left_out or len(self.left_out) == MOST_LEFT_OUT:
            raise error
        self.left_out.add(statement.lineno)
        text = self.module.line(statement.lineno)
        self.context.recorder.assume(f"line {statement.lineno} left out, it fails here and reaches no gradient: {text}")


def _rows_seen(window: Sequence[torch.Tensor], rows: Sequence[data.Row]) -> list[data.Row]:
    """The rows that the model was given in one window, once each; none when they are not ours."""
    known = [(_text(row.ids.tolist()), row) for row in rows]
    given = [_text(ids) for each in window if each.dim() == 2 for ids in each.tolist()]
    # A part is enough: causal code often gives the model all but the last token.
    return list(dict.fromkeys(row for part in given for text, row in known if part in text))


def _text(ids: list[int]) -> str:
    return "".join(f" {token}," for token in ids if token != data.PAD)


class _Execution:
    """One run of the loop: its own model, optimizer and namespace."""

    def __init__(self, subject: LoopSubject, groups: Sequence[Sequence[data.Row]], steps: int, head: str) -> None:
        self.subject, self.steps, self.head = subject, steps, head
        context = subject.context
        self.recorder = context.recorder
        returns, shifts = subject.interface
        shifts = shifts and self.head == "causal"
        self.model = TinyModel(returns, shifts, self.head, subject.ignore, context.dtype, context.job.seed)
        self.capture = Capture(self.model, context.steady)
        members = (
            m
            for name, found in subject.members.items()
            if subject.roles.get(name) in ("model", "engine")
            for m in found
        )
        for member in sorted(set(members)):
            self.model.extras[member] = Unknown(f"model.{member}", self.recorder)
        self.batches = [self._batch(group) for group in groups]
        self.replace = ReplaceSteps(subject.steps)
        self._made: dict[str, object] = {}
        self.space, self.outer = self._namespaces()

    def execute(self) -> None:
        whole = copy.deepcopy(self.subject.slice.loop)
        loop = Flatten().visit(self.replace.visit(without(whole, frozenset(self.subject.left_out))))
        code = compiled(ast.Module([loop], []), self.subject.module.path, "exec")
        try:
            exec(code, self.space)
        except Finished:
            pass

    def _namespaces(self) -> tuple[Namespace, Namespace]:
        files = Files(project_root(self.subject.module.path), self.recorder)
        files.guess, files.rewrite = self.guess, self.replace.visit
        found = self.subject.slice
        before = found.loop.lineno if found.function is None else None
        outer = space = files.module_namespace(self.subject.module, self.bind, before)
        for function in reversed(self.subject.module.functions_around(found.loop)):
            space = space.inner(function, found.loop.lineno, self.bind)
        for each in (outer, space):
            each.update({STEPS_NAME: self.steps, "__ga_finished__": Finished})
        function = found.function
        if (
            function is not None
            and function.args.args
            and function.args.args[0].arg == "self"
            and found.owner is not None
        ):
            space["self"] = SelfStandIn(self, outer, found.owner)
        return space, outer

    def _batch(self, group: Sequence[data.Row]) -> object:
        subject = self.subject
        batch = data.add_derived(data.collate(group, self.head, subject.ignore), subject.keys)
        if not subject.interface[1] and self.head == "causal":  # the data is shifted, as in nanoGPT
            end = torch.full_like(batch["labels"][:, :1], subject.ignore)
            batch["labels"] = torch.cat([batch["labels"][:, 1:], end], 1)
        if subject.layout is None:
            return batch
        if subject.layout == ONE_TENSOR:
            self.model.max_seq_length = batch["input_ids"].shape[1] - 1
            return batch["input_ids"]
        parts = ((name, data.derived(batch, name)) for name in subject.layout)
        return tuple(Unknown(f"batch.{name}", self.recorder) if part is None else part for name, part in parts)

    # -- what a name means -------------------------------------------------------------------------------------------

    def bind(self, name: str) -> object:
        """Names whose use gives them a role; a loss is taken from its definition first."""
        role = self.subject.roles.get(name, "loss")
        if role in ("model", "engine") and _OTHER_HEAD.search(last(name)):
            raise NotVerifiable(f"needs the loss of `{name}`, which is not a language model's")
        return MISSING if role == "loss" else self.by_role(role)

    def by_role(self, role: str) -> object:
        if role not in self._made:
            self._made[role] = self._make(role)
        return self._made[role]

    def _make(self, role: str) -> object:
        makers: dict[str, Callable[[], object]] = {
            "model": lambda: self.model,
            "teacher": self._teacher,
            "engine": lambda: Engine(self.capture, self.steps),
            "scheduler": Scheduler,
            "scaler": Scaler,
            "fabric": Fabric,
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
        return "accelerator" in self.subject.roles.values()

    def _accelerate(self) -> Accelerate:
        if "accelerate" not in self._made:
            steps = self.steps if self.subject.accelerator_divides else 1
            self._made["accelerate"] = Accelerate(self.capture, self.batches, steps)
        return self._made["accelerate"]  # type: ignore[return-value]

    def _teacher(self) -> object:
        self.recorder.assume("the teacher or reference model is a second tiny model")
        job, subject = self.subject.context.job, self.subject
        return TinyModel(
            subject.interface[0], self.model.shifts, self.head, subject.ignore, self.model.dtype, job.seed + 9
        )

    def guess(self, name: str) -> object:
        """A free name without a definition: by its role, then by what it is called."""
        part, subject = last(name), self.subject
        role = subject.roles.get(name, "loss")
        if role != "loss":
            return self.by_role(role)
        called = name in subject.called
        if part in ("tqdm", "track"):
            return Progress
        if part == "trange":
            return trange
        if PROGRESS.search(part):
            return Progress if called else Quiet()
        if ACCUMULATION.search(part) and not re.search(
            r"loss|grads?$|ctx|context|metric|state|^is_|should|counter$|idx|cur|tokens", part, re.I
        ):
            return (lambda *_, **__: self.steps) if called else self.steps
        if _CONTEXT.search(part):
            return NullContext()
        if LOSS.search(part) and (called or "." not in name):
            return self._cross_entropy(name)
        if called:
            return MISSING
        if part == "device" or not subject.members.get(name, set()) - _OF_NUMBERS:
            value = guess(name, subject.module, self.recorder)
            if value is not MISSING:
                return value
        for pattern, by_name in _BY_NAME:
            if pattern.search(part):
                return self.by_role(by_name)
        return MISSING

    def _cross_entropy(self, name: str) -> object:
        self.recorder.assume(f"`{name}` is nn.CrossEntropyLoss()")
        return nn.CrossEntropyLoss(ignore_index=self.subject.ignore)


def _without_labels(batch: object) -> object:
    if not isinstance(batch, data.Batch):
        return batch
    return data.Batch({key: value for key, value in batch.items() if key != "labels"})


def _accelerator_has_steps(module: Module, found: LoopSlice) -> bool:
    """An Accelerator divides only by the steps that it was built with, or that its DeepSpeed configuration names."""
    if "deepspeed_plugin" in module.text and "gradient_accumulation_steps" in module.text:
        return True
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and last(dotted(node.func)) == "Accelerator":
            names = {keyword.arg for keyword in node.keywords}
            if names & {"gradient_accumulation_steps", "gradient_accumulation_plugin"}:
                return True
            if None not in names:
                return False
    return any(isinstance(n, ast.Attribute) and n.attr == "accumulate" for root in found.nodes for n in ast.walk(root))
