"""What do the names of a loop stand for? One run of it: its free names are bound when it asks for them."""

from __future__ import annotations

import ast
import contextlib
import copy
from collections.abc import Sequence

import torch
from torch import nn

from ga_lint.verify.worker.adapter import Watched
from ga_lint.verify.worker.bound import Bound, without_labels
from ga_lint.verify.worker.exceptions import Finished
from ga_lint.verify.worker.files import SliceFiles
from ga_lint.verify.worker.harness import data, ranks
from ga_lint.verify.worker.harness.averaging import data_parallel
from ga_lint.verify.worker.harness.data import Row
from ga_lint.verify.worker.harness.draws import OWN_DRAWS, Draws
from ga_lint.verify.worker.harness.lightning import loss_of
from ga_lint.verify.worker.harness.models import TinyModel
from ga_lint.verify.worker.harness.slice_builtins import compiled
from ga_lint.verify.worker.harness.stack import Capture
from ga_lint.verify.worker.harness.stand_ins import Unknown
from ga_lint.verify.worker.harness.windows import Window
from ga_lint.verify.worker.loop_self import SelfStandIn
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.passages import with_passages
from ga_lint.verify.worker.reading.bookkeeping import without
from ga_lint.verify.worker.reading.feeds import Feed
from ga_lint.verify.worker.reading.layout import ONE_TENSOR
from ga_lint.verify.worker.reading.lightning_loop import LOSS_OF
from ga_lint.verify.worker.reading.loop_slice import Flatten
from ga_lint.verify.worker.reading.loop_text import Reading
from ga_lint.verify.worker.reading.sources import project_root
from ga_lint.verify.worker.reading.steps import STEPS_NAME, ReplaceSteps
from ga_lint.verify.worker.subjects import Context


class Execution(Bound):
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
        super().__init__()
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
        self.feed, self.longest = feed, max(map(len, groups))
        self.batches = [self._item(group) for group in groups]
        self._replace = ReplaceSteps(reading.steps)
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
        files = SliceFiles(project_root(module.path), self.recorder)
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
            return self.tiny_model(job.seed)
        return Watched(adapter.model(self.context.dtype, job.seed))  # type: ignore[return-value]

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
            batch = without_labels(batch)
        if reading.layout is None or self.feed is Feed.LIST:  # the layout was read from the list
            return batch
        if reading.layout == ONE_TENSOR:
            self.model.max_seq_length = self.model.config.longest = batch["input_ids"].shape[1] - 1
            return batch["input_ids"]
        parts = tuple(data.derived(batch, name) for name in reading.layout)
        # Parts that are batches themselves, or that only their names tell: the code takes them out where it needs them.
        return batch if any(part is None for part in parts) else parts
