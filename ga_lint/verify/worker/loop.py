"""How does a hand-written training loop behave? It is executed alone, with four micro-batches a window and with one."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import torch

from ga_lint.verify.job import STEPS
from ga_lint.verify.judge import PER_EXAMPLE
from ga_lint.verify.worker import data
from ga_lint.verify.worker.bookkeeping import failing_statement
from ga_lint.verify.worker.examine import Context, Pair
from ga_lint.verify.worker.execution import Execution
from ga_lint.verify.worker.measure import is_zero
from ga_lint.verify.worker.models import HEAD_GUESSED
from ga_lint.verify.worker.reading import read_loop
from ga_lint.verify.worker.sources import Module
from ga_lint.verify.worker.stack import Capture
from ga_lint.verify.worker.stand_ins import NotVerifiable

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
        self.reading = read_loop(module, job.scope, row, None if original is None else (original, job.row))
        self.equal = self.reading.equal
        if self.reading.head is None:
            context.recorder.assume(HEAD_GUESSED)
            if not self.reading.is_about_tokens:
                self.settings = ("", PER_EXAMPLE)

    def pair(self, ragged: bool, setting: str) -> Pair:
        return self.windows(data.rows(ragged, self.context.job.seed), STEPS, setting)

    def windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair:
        rows = rows[: FULL_WINDOWS * steps + steps // 2]  # three full windows and a short last one
        cut = self._run([[row] for row in rows], steps, setting)
        groups = [_rows_seen(window, rows) for window in cut.seen]
        if not all(groups):
            raise NotVerifiable(f"needs a forward pass before each optimizer step: steps came after {cut.sizes}")
        whole = self._run([*groups, rows[:1]], 1, setting)
        if _rows_seen(whole.seen[0], rows) != groups[0]:  # a batch that is drawn before the loop, and never used
            whole = self._run([rows[:1], *groups, rows[:1]], 1, setting)
        if [_rows_seen(window, rows) for window in whole.seen[: len(groups)]] != groups:
            raise NotVerifiable("needs its batches under control: without accumulation it steps on other rows")
        full = [n for n, group in enumerate(groups) if len(group) == steps == cut.sizes[n]]
        if not full or set(whole.sizes[: len(groups)]) != {1}:
            raise NotVerifiable(
                f"needs its accumulation steps under control: it stepped after {cut.sizes} micro-batches "
                f"with {steps} steps, after {whole.sizes} with 1"
            )
        ends = len(groups) - 1
        is_short = full == list(range(ends)) and sum(map(len, groups)) == len(rows)
        chosen = [*full, ends] if is_short else full
        short = ends if is_short else None
        return Pair([cut.gradients[n] for n in chosen], [whole.gradients[n] for n in chosen], short)

    def _run(self, groups: Sequence[Sequence[data.Row]], steps: int, setting: str) -> Capture:
        while True:
            head = "sequence" if setting == PER_EXAMPLE else self.reading.head or "causal"
            run = Execution(self.reading, self.context, groups, steps, head)
            torch.manual_seed(self.context.job.seed)
            try:
                run.execute(frozenset(self.left_out))
                break
            except (Exception, NotVerifiable) as error:  # noqa: BLE001 - the user's code may raise anything
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
        rows = [f.lineno for f in frames if f.filename == str(self.reading.module.path) and f.lineno is not None]
        loop = self.reading.slice.loop
        first, end = loop.lineno, loop.end_lineno or 0
        row = next((row for row in rows if first <= row <= end), None)
        statement = failing_statement(loop, row) if row is not None else None
        if statement is None or statement.lineno in self.left_out or len(self.left_out) == MOST_LEFT_OUT:
            raise error
        self.left_out.add(statement.lineno)
        text = self.reading.module.line(statement.lineno)
        self.context.recorder.assume(f"line {statement.lineno} left out, it fails here and reaches no gradient: {text}")


def _rows_seen(window: Sequence[torch.Tensor], rows: Sequence[data.Row]) -> list[data.Row]:
    """The rows that the model was given in one window, once each; none when they are not ours."""
    known = [(_text(row.ids.tolist()), row) for row in rows]
    given = [_text(ids) for each in window if each.dim() == 2 for ids in each.tolist()]
    # A part is enough: causal code often gives the model all but the last token.
    return list(dict.fromkeys(row for part in given for text, row in known if part in text))


def _text(ids: list[int]) -> str:
    return "".join(f" {token}," for token in ids if token != data.PAD)
