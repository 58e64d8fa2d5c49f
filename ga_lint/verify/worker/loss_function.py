"""Is this loss function invariant? It is called on fixed logits and labels, bound by the names of its parameters."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ga_lint.verify.job import STEPS
from ga_lint.verify.runs import COUNT_PASSED, NO_COUNT
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.files import SliceFiles
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.harness.models import Output
from ga_lint.verify.worker.harness.ranks import Ranks
from ga_lint.verify.worker.harness.stand_ins import MISSING, Unknown
from ga_lint.verify.worker.measure import Gradient, Pair
from ga_lint.verify.worker.model_forward import ForwardSubject
from ga_lint.verify.worker.reading.sources import Function, Module, project_root
from ga_lint.verify.worker.subjects import Context

WINDOWS = 2
_COUNT = re.compile(r"^(num_items_in_batch|num_items|n_items|num_tokens)$")
_SHIFTS = re.compile(r"\[\s*(?:\.\.\.|:)\s*,\s*1\s*:|shift")
_OUTPUTS = re.compile(r"^(outputs?|model_outputs?|out)$")
_LOGITS = re.compile(r"logit|^(preds?|predictions|x|input|y_pred|source|scores)$", re.IGNORECASE)
_LABELS = re.compile(r"label|target|^(y|gold|tgt|y_true)$", re.IGNORECASE)
_WRONG_SHAPE = (RuntimeError, ValueError, IndexError, AssertionError, TypeError, AttributeError)


def loss_subject(context: Context, module: Module, row: int | None) -> LossFunctionSubject | ForwardSubject:
    """A function that computes a loss, or a model whose forward does."""
    node = module.find(context.job.scope, row)
    first = [parameter.arg for parameter in node.args.args[1:2]] if isinstance(node, Function) else []
    of_a_loss = any(_OUTPUTS.match(name) or _LOGITS.search(name) for name in first if name not in ("x", "input"))
    kind = ForwardSubject if context.job.scope.endswith(".forward") and not of_a_loss else LossFunctionSubject
    return kind(context, module, row)


class LossFunctionSubject:
    """A function (outputs or logits, labels, num_items_in_batch) -> loss, or a class that is called like one."""

    settings: tuple[str, ...] = (COUNT_PASSED, NO_COUNT)
    raises: str | None = None
    draws = False
    equal: str | None = None
    stack: str | None = "the Trainer, as measured, hands it the count of all ranks and multiplies it by their number"

    def __init__(self, context: Context, module: Module, row: int | None) -> None:
        self.context, self.module = context, module
        node = module.find(context.job.scope, row)
        self.shifts = node is not None and _SHIFTS.search(ast.unparse(node)) is not None
        self.call = self._callable()
        self.parameters = inspect.signature(self.call).parameters.values()
        self.flat: bool | None = None  # whether logits and labels are wanted flattened; found out by the first call

    def pair(self, ragged: bool, setting: str, ranks: int = 1) -> Pair:
        seed = self.context.job.seed
        if ranks == 1:
            return self.windows(data.rows(ragged, seed), STEPS, setting)
        dealt = data.dealt(ragged, seed, ranks)
        accumulated, whole = [], []
        for start in range(0, WINDOWS * STEPS, STEPS):
            window = [row for each in dealt for row in each[start : start + STEPS]]
            batch = data.collate(window)
            whole.append(self._gradient(batch, [slice(None)], setting))
            parts = [range(rank * STEPS, (rank + 1) * STEPS) for rank in range(ranks)]
            shares = self._on_ranks(batch, parts, setting)
            accumulated.append({"logits": torch.stack([share["logits"] for share in shares]).sum(0)})
        return Pair([accumulated], whole)

    def windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair:
        accumulated, whole = [], []
        for start in range(0, WINDOWS * steps, steps):
            batch = data.collate(rows[start : start + steps])
            whole.append(self._gradient(batch, [slice(None)], setting))
            accumulated.append(self._gradient(batch, range(steps), setting))
        return Pair([accumulated], whole)

    def _on_ranks(self, batch: data.Batch, parts: list[range], setting: str) -> list[Gradient]:
        """The share of each rank: times their number by the Trainer, over their number by the gradient average."""

        def work(rank: int) -> Gradient:
            with self.context.steady.another():
                return self._gradient(batch, parts[rank], setting)

        return Ranks(len(parts)).run(work)

    def _gradient(self, batch: data.Batch, parts: Any, setting: str) -> Gradient:
        """The gradient with respect to the logits of the window, cut into these parts."""
        table = torch.randn(data.VOCABULARY, data.VOCABULARY, generator=torch.Generator().manual_seed(7))
        logits = table[batch["input_ids"]].clone().requires_grad_()  # (batch, time, vocab)
        labels = batch["labels"]
        count = (labels[:, 1:] if self.shifts else labels).ne(data.IGNORE).sum() if setting == COUNT_PASSED else None
        slices = [slice(part, part + 1) if isinstance(part, int) else part for part in parts]
        losses = [self._loss(logits[each], labels[each], count) for each in slices]
        total = torch.stack(losses).sum()
        (total if count is not None else total / len(slices)).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        return {"logits": logits.grad}

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, count: torch.Tensor | None) -> torch.Tensor:
        failure: Exception | None = None
        for flat in (False, True) if self.flat is None else (self.flat,):
            try:
                loss: Any = self.call(**self._bound(logits, labels, count, flat))
                loss = loss[0] if isinstance(loss, tuple) else loss
                if isinstance(loss, Unknown):
                    loss._void()
                if loss.dim():
                    raise ValueError("the function returns more than one number")
                self.flat = flat
                assert isinstance(loss, torch.Tensor)
                return loss
            except _WRONG_SHAPE as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _bound(self, logits: torch.Tensor, labels: torch.Tensor, count: object, flat: bool) -> dict[str, object]:
        if flat:
            logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
        found: dict[str, object] = {}
        for parameter in self.parameters:
            name = parameter.name
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if _COUNT.match(name):
                found[name] = count
            elif _OUTPUTS.match(name):
                found[name] = Output(logits=logits)
            elif _LABELS.search(name):
                found[name] = labels
            elif _LOGITS.search(name):
                found[name] = logits
            elif "mask" in name:
                found[name] = labels.ne(data.IGNORE).to(logits.dtype)
            elif parameter.default is parameter.empty:
                found[name] = self._guessed(name)
        if any(p.kind is p.VAR_KEYWORD for p in self.parameters) and not any(map(_COUNT.match, found)):
            found["num_items_in_batch"] = count
        return found

    def _guessed(self, name: str) -> object:
        if name in ("num_labels", "num_classes"):
            return data.VOCABULARY
        value = guess(name, self.module, self.context.recorder)
        if value is MISSING:
            raise NotVerifiable(f"needs a value for the parameter `{name}`")
        return value

    def _callable(self) -> Callable[..., Any]:
        recorder = self.context.recorder
        files = SliceFiles(project_root(self.module.path), recorder)
        files.guess = lambda name: guess(name, self.module, recorder)
        space = files.module_namespace(self.module)
        names = self.context.job.scope.split(".")
        value: Any = space[names[0]]
        if isinstance(value, Unknown):
            raise NotVerifiable(f"needs `{names[0]}`")
        for name in names[1:]:
            if isinstance(value, type) and not isinstance(inspect.getattr_static(value, name), staticmethod):
                value = self._made(value)
            elif inspect.isfunction(value):
                value = self._returned(value, name)
                continue
            value = getattr(value, name)
        return value  # type: ignore[no-any-return]

    def _made(self, owner: type) -> object:
        """An object of the class; one whose constructor needs more than a loss does is made without it."""
        try:
            return owner(**dict(self._arguments(owner)))
        except (Exception, NotVerifiable) as error:
            if issubclass(owner, torch.nn.Module):
                raise
            self.context.recorder.assume(f"`{owner.__name__}` is made without its constructor ({type(error).__name__})")
            return object.__new__(owner)

    def _returned(self, factory: Callable[..., object], name: str) -> object:
        """`name`, a function that another one makes and returns."""
        made = factory(**dict(self._arguments(factory)))
        if getattr(made, "__name__", "") != name:
            raise NotVerifiable(f"needs `{name}` to be what `{factory.__name__}` returns")
        return made

    def _arguments(self, called: Callable[..., object]) -> Iterator[tuple[str, object]]:
        for parameter in list(inspect.signature(called).parameters.values()):
            required = parameter.default is parameter.empty
            if required and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                yield parameter.name, self._guessed(parameter.name)
