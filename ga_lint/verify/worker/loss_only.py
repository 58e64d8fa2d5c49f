"""What can still be said where a loop does not run as a whole? Whether its loss depends on how the batch is cut.

The statements from the head of the innermost loop to the backward are run for each micro-batch; the harness divides by
the accumulation steps, calls backward and takes the gradient down. A loop that puts its weights right elsewhere (by a
count, or on the gradients) would be wronged by that: it is not tried.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch

from ga_lint.verify.job import STEPS
from ga_lint.verify.runs import LOSS_ONLY
from ga_lint.verify.thresholds import DIFFERS, allowed_in
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.execution import Execution
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.harness.models import TinyModel
from ga_lint.verify.worker.harness.stack import Capture, Captured
from ga_lint.verify.worker.harness.windows import in_windows
from ga_lint.verify.worker.measure import Pair, compare_pair, is_finite, is_zero
from ga_lint.verify.worker.reading.loop_slice import find_backward
from ga_lint.verify.worker.reading.loop_text import Reading, read_loop
from ga_lint.verify.worker.reading.sources import Loop, Module, last
from ga_lint.verify.worker.subjects import Context

_ACCUMULATES = frozenset({"engine", "accumulate", "no_sync", "no_backward_sync"})
_TAKE = "__ga_take__"
WINDOWS = 3
_CORRECTS = re.compile(
    r"num_items|\w*tokens?_?(count|total|sum|num)|(num|n|total|count|valid|global)\w*_tokens|\.grad\b|reduction\s*=\s*.sum|"
    r"\.(all_)?reduce\(|gather",
    re.IGNORECASE,
)
_STEPS_CALLS = ("step", "zero_grad", "backward", "manual_backward", "unscale_", "update")


class LossOnlySubject:
    """The loss of a loop, without the loop."""

    settings: tuple[str, ...] = (LOSS_ONLY,)
    raises: str | None = None
    draws = False
    equal: str | None = None
    stack: str | None = None  # on ranks the loop matters

    def __init__(self, context: Context, module: Module, row: int | None, why: str) -> None:
        self.context = context
        job = context.job
        reading = read_loop(module, job.scope, row, None, adapted=context.adapter is not None)
        if any(_CORRECTS.search(ast.unparse(node)) for node in reading.slice.nodes):
            raise NotVerifiable("needs the loop: it may put the weights of its micro-batches right itself")
        if not reading.steps and not _ACCUMULATES & {*reading.roles.values(), *map(last, reading.called)}:
            raise NotVerifiable("needs a loop that accumulates")
        if reading.head is None and not reading.is_about_tokens:
            raise NotVerifiable("needs the head of the model, which the file does not name")
        self.reading = _to_loss(reading, find_backward(module, job.scope, row, None))
        if reading.equal is not None:
            raise NotVerifiable(f"needs the loop: {reading.equal}")
        context.recorder.assume(f"loss only: the loop around it was not run ({why})")

    def pair(self, ragged: bool, setting: str, _ranks: int = 1) -> Pair:
        rows = data.rows(ragged, self.context.job.seed)[: WINDOWS * STEPS]
        groups = in_windows(rows, STEPS)
        cut = self._run([[row] for row in rows], STEPS)
        whole = self._run(groups, 1)
        pair = Pair([cut.gradients[:WINDOWS]], whole.gradients[:WINDOWS])
        error = compare_pair("", setting, pair, pair.full).relative_error
        if not ragged and error > allowed_in("float32"):
            raise NotVerifiable("needs the loop: its loss is no mean over the micro-batch")
        if ragged and error < DIFFERS:  # a right loss says nothing of the loop around it
            raise NotVerifiable("needs the loop: its loss alone does not depend on how the batch is cut")
        return pair

    def _run(self, groups: Sequence[Sequence[data.Row]], steps: int) -> Captured:
        run = Execution(self.reading, self.context, groups, 1, self.reading.head or "causal")
        run.space[_TAKE] = _Taker(run.capture, run.model, steps)
        torch.manual_seed(self.context.job.seed)
        run.execute(frozenset())
        found = run.capture.captured
        is_number = all(map(is_finite, found.gradients))
        if found.sizes[:WINDOWS] != [steps] * WINDOWS or is_zero(found.gradients) or not is_number:
            raise NotVerifiable("needs a loss for each micro-batch that reaches the model")
        seen = [len({str(ids.tolist()) for ids in window}) for window in found.seen[:WINDOWS]]
        if seen != [steps] * WINDOWS:
            raise NotVerifiable("needs one forward pass for each micro-batch")
        return found


class _Taker:
    """Where the backward stood."""

    def __init__(self, capture: Capture, model: TinyModel, steps: int) -> None:
        self.capture, self.model, self.steps, self.taken = capture, model, steps, 0

    def __call__(self, loss: Any) -> None:
        (loss / self.steps).backward()
        self.taken += 1
        if self.taken % self.steps == 0:
            self.capture.step()
            self.model.zero_grad()


def _to_loss(reading: Reading, backward: ast.Call) -> Reading:
    """The reading with the innermost loop around the backward, cut off at the loss."""
    parents = reading.module.parents
    path: list[ast.AST] = [backward]
    while not isinstance(path[-1], Loop):
        outer = parents.get(id(path[-1]))
        if outer is None or isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            raise NotVerifiable("needs the loop around the backward")
        path.append(outer)
    innermost = path[-1]
    if not isinstance(innermost, ast.For):
        raise NotVerifiable("needs a loop over its micro-batches")
    body = [*_before(path), _taken(backward)]
    loop = ast.copy_location(ast.For(innermost.target, innermost.iter, body, []), innermost)
    loop.end_lineno = innermost.end_lineno
    return replace(reading, slice=replace(reading.slice, loop=loop), code={})


def _before(path: Sequence[ast.AST]) -> Iterator[ast.stmt]:
    """The statements that run before the backward in one turn of the loop, from the outermost block inwards."""
    for inner, outer in reversed(list(pairwise(path))):
        for block in (getattr(outer, name, None) for name in ("body", "orelse")):
            if isinstance(block, list) and any(each is inner for each in block):
                before = block[: next(n for n, each in enumerate(block) if each is inner)]
                yield from (each for each in before if not _is_step(each))


def _is_step(statement: ast.stmt) -> bool:
    calls = (n.func for n in ast.walk(statement) if isinstance(n, ast.Call))
    return any(isinstance(f, ast.Attribute) and f.attr in _STEPS_CALLS for f in calls)


def _taken(backward: ast.Call) -> ast.stmt:
    """`__ga_take__(loss)` for `loss.backward()`, `scaler.scale(loss).backward()`, `engine.backward(loss)`."""
    assert isinstance(backward.func, ast.Attribute)
    loss = backward.args[0] if backward.args else backward.func.value
    if isinstance(loss, ast.Call) and isinstance(loss.func, ast.Attribute) and loss.func.attr == "scale" and loss.args:
        loss = loss.args[0]
    call = ast.Expr(ast.Call(ast.Name(_TAKE, ast.Load()), [loss], []))
    return ast.fix_missing_locations(ast.copy_location(call, backward))
