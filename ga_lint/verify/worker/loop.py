"""How does a hand-written training loop behave? It is executed alone, with four micro-batches a window and with one."""

from __future__ import annotations

import ast
import importlib
import traceback
from collections.abc import Sequence
from dataclasses import replace

import torch

from ga_lint.verify.job import STEPS
from ga_lint.verify.runs import HEAD_GUESSED, PER_EXAMPLE
from ga_lint.verify.worker.exceptions import NotVerifiable, StepsUncontrolled, Uncontrolled
from ga_lint.verify.worker.execution import Execution
from ga_lint.verify.worker.failures import gives_up
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.harness.ranks import together
from ga_lint.verify.worker.harness.stack import Captured
from ga_lint.verify.worker.harness.windows import in_windows
from ga_lint.verify.worker.measure import Pair, is_finite, is_zero
from ga_lint.verify.worker.reading.bookkeeping import failing_statement
from ga_lint.verify.worker.reading.feeds import Feed
from ga_lint.verify.worker.reading.loop_text import read_loop
from ga_lint.verify.worker.reading.sources import Module
from ga_lint.verify.worker.recognition import rows_seen
from ga_lint.verify.worker.subjects import Context

FULL_WINDOWS = 3
MOST_LEFT_OUT = 12  # beyond this too little of the loop is left to speak of it


class LoopSubject:
    """One loop, run with accumulation and with each window as one batch."""

    def __init__(self, context: Context, module: Module, row: int | None, original: Module | None) -> None:
        self.context = context
        self.raises: str | None = None
        self.settings: tuple[str, ...] = ("",)
        self.left_out: set[int] = set()
        job = context.job
        self.reading = read_loop(
            module,
            job.scope,
            row,
            None if original is None else (original, job.row),
            adapted=context.adapter is not None,
        )
        self.equal = self.reading.equal
        self.feed = self.reading.feeds[0]
        self.draws = False  # whether it draws random numbers: what they decide differs from row to row
        self._differ = False
        self._is_fed = False  # whether a run has shown that it is the right one
        if self.reading.head is None:
            context.recorder.assume(HEAD_GUESSED)
            if not self.reading.is_about_tokens:
                self.settings = ("", PER_EXAMPLE)

    @property
    def stack(self) -> str | None:
        return None if self.reading.stack is None else self.reading.stack.told

    def pair(self, ragged: bool, setting: str, ranks: int = 1) -> Pair:
        seed = self.context.job.seed
        job = self.context.job
        rows_differ = self.reading.equal is None or job.ragged is not None or job.rewritten is not None
        self._differ, ragged = ragged, ragged and rows_differ
        dealt = data.dealt(ragged, seed, ranks) if ranks > 1 else [data.rows(ragged, seed)]
        return self._fed(dealt, STEPS, setting)

    def windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair:
        return self._fed([rows], steps, setting)

    def _fed(self, dealt: Sequence[Sequence[data.Row]], steps: int, setting: str) -> Pair:
        """The pair, with the first way to feed the loop that works; the first reason if none does."""
        reason: BaseException | None = None
        for feed in () if self._is_fed else self.reading.feeds:
            self.feed, self.left_out = feed, set()
            try:
                found = self._pair(dealt, steps, setting)
            except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
                is_code = not isinstance(error, Uncontrolled)  # else the loop ran, and only how it was fed is refused
                reason = error if reason is None or is_code else reason
            else:
                self._is_fed = True
                if feed is not Feed.MICRO_BATCH:
                    self.context.recorder.assume(f"the loader yields {feed.value}")
                return found
        if reason is not None:
            self.feed, self.left_out = self.reading.feeds[0], set()
            raise reason
        return self._pair(dealt, steps, setting)

    def _pair(self, dealt: Sequence[Sequence[data.Row]], steps: int, setting: str) -> Pair:
        """Three full windows and a short last one, of the rows of one process or of each rank."""
        # A window that is to be split always has all its rows.
        short = 0 if self.feed is Feed.WINDOW else steps // 2
        dealt = [each[: FULL_WINDOWS * steps + short] for each in dealt]
        rows = [row for each in dealt for row in each]
        cuts = self._run([self._cut(each, steps) for each in dealt], steps, setting)
        shares = [[rows_seen(window, rows) for window in cut.seen] for cut in cuts]  # of each rank
        groups = [[row for share in window for row in share] for window in zip(*shares, strict=False)]
        for cut in cuts:
            if len(cut.sizes) != len(groups) or not all(groups):
                raise NotVerifiable(f"needs a forward pass before each optimizer step: steps came after {cut.sizes}")
        if self.feed is Feed.WINDOW:
            _refuse_others(cuts, rows)
        whole = self._whole(groups, groups[0] if self.feed is Feed.WINDOW else rows[:1], setting)
        full = [
            n
            for n in range(len(groups))
            if all(len(share[n]) == steps == cut.sizes[n] for share, cut in zip(shares, cuts, strict=True))
        ]
        if not full or set(whole.sizes[: len(groups)]) != {1}:
            raise StepsUncontrolled(
                f"needs its accumulation steps under control: it stepped after {cuts[0].sizes} micro-batches "
                f"with {steps} steps, after {whole.sizes} with 1"
            )
        ends = len(groups) - 1
        is_short = full == list(range(ends)) and sum(map(len, groups)) == len(rows)
        chosen = [*full, ends] if is_short else full
        expected = [whole.gradients[n] for n in chosen]
        return Pair([[cut.gradients[n] for n in chosen] for cut in cuts], expected, ends if is_short else None)

    def _cut(self, rows: Sequence[data.Row], steps: int) -> list[Sequence[data.Row]]:
        """The rows of each item of the loader."""
        return [[row] for row in rows] if self.feed is Feed.MICRO_BATCH else in_windows(rows, steps)

    def _whole(self, groups: Sequence[Sequence[data.Row]], more: Sequence[data.Row], setting: str) -> Captured:
        """Each window as one batch, in one process; `more` is a batch that is drawn ahead and never used."""
        wanted = [set(group) for group in groups]
        rows = [row for group in groups for row in group]

        def is_right(capture: Captured) -> bool:
            return [set(rows_seen(window, rows)) for window in capture.seen[: len(groups)]] == wanted

        (found,) = self._run([[*groups, more]], 1, setting)
        if not is_right(found):
            (found,) = self._run([[more, *groups, more]], 1, setting)
        if not is_right(found):
            raise Uncontrolled("needs its batches under control: without accumulation it steps on other rows")
        return found

    def _run(self, dealt: Sequence[Sequence[Sequence[data.Row]]], steps: int, setting: str) -> list[Captured]:
        """Run the loop on the micro-batches of one process, or of each rank."""
        while True:
            try:
                if len(dealt) == 1:
                    captures = [self._execute(self.context, dealt[0], steps, setting)]
                else:
                    captures = self._on_ranks(dealt, steps, setting)
                break
            except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
                if not (gives_up(error) and self.context.recorder.choose()):
                    self._leave_out(error)
        for capture in captures:
            if len(capture.gradients) < FULL_WINDOWS:
                raise NotVerifiable(f"needs an optimizer step in each window: {len(capture.gradients)} were reached")
            if not all(map(is_finite, capture.gradients)):
                raise NotVerifiable("needs a loss that is a number: its gradient is not finite")
            if is_zero(capture.gradients):
                raise NotVerifiable("needs a loss that reaches the model: its gradient is zero")
        return captures

    def _on_ranks(self, dealt: Sequence[Sequence[Sequence[data.Row]]], steps: int, setting: str) -> list[Captured]:
        def work(rank: int) -> Captured:
            with self.context.steady.another() as steady:
                return self._execute(replace(self.context, steady=steady), dealt[rank], steps, setting)

        return together(len(dealt)).run(work)

    def _execute(self, context: Context, groups: Sequence[Sequence[data.Row]], steps: int, setting: str) -> Captured:
        head = "sequence" if setting == PER_EXAMPLE else self.reading.head or "causal"
        run = Execution(self.reading, context, groups, steps, head, self.feed)
        run.draws_differ = self._differ
        torch.manual_seed(context.job.seed)
        run.execute(frozenset(self.left_out))
        self.draws |= run.drew
        return run.capture.captured

    def _leave_out(self, error: BaseException) -> None:
        """Drop the statement that failed if it is bookkeeping, else give the error on."""
        frames = traceback.extract_tb(error.__traceback__)
        rows = [f.lineno for f in frames if f.filename == str(self.reading.module.path) and f.lineno is not None]
        loop = self.reading.slice.loop
        first, end = loop.lineno, loop.end_lineno or 0
        row = next((row for row in rows if first <= row <= end), None)
        statement = failing_statement(loop, row, self.reading.slice.nodes) if row is not None else None
        if first > len(self.reading.module.lines):  # the loop is Lightning's, not the user's
            raise error
        if isinstance(statement, ast.Raise):  # the code gave up: what it met is the reason, and no bookkeeping
            raise error
        if statement is None or statement.lineno in self.left_out or len(self.left_out) == MOST_LEFT_OUT:
            raise error
        self.left_out.add(statement.lineno)
        text = self.reading.module.line(statement.lineno)
        self.context.recorder.assume(f"line {statement.lineno} left out, it fails here and reaches no gradient: {text}")


def _refuse_others(cuts: Sequence[Captured], rows: Sequence[data.Row]) -> None:
    """A window was to be split: each forward pass saw one of its rows."""
    for ids in (each for cut in cuts for window in cut.seen for each in window):
        if len(rows_seen([ids], rows)) > 1:
            raise Uncontrolled("needs the size of its micro-batches under control: a forward pass saw several rows")


def preload() -> None:
    """What a child may need later, imported while files can still be written."""
    importlib.import_module("ga_lint.verify.worker.loss_only")
