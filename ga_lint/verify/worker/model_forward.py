"""Is the loss of this model's `forward` invariant? The method runs on its own, its submodules are small stand-ins.

Only a forward that takes `num_items_in_batch` (by name or by `**kwargs`) comes here: the Trainer then leaves the
division to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ga_lint.verify.job import STEPS
from ga_lint.verify.runs import COUNT_PASSED, NO_COUNT
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.files import SliceFiles
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.harness.models import Config
from ga_lint.verify.worker.harness.stand_ins import MISSING, Unknown
from ga_lint.verify.worker.harness.windows import in_windows
from ga_lint.verify.worker.loop_self import SelfStandIn, ancestry, assigned
from ga_lint.verify.worker.measure import Gradient, Pair, is_zero
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.reading.heads import head_of
from ga_lint.verify.worker.reading.sources import Function, Module, dotted, project_root
from ga_lint.verify.worker.subjects import Context

WIDTH = 12
WINDOWS = 2
_SETUPS = ("__init__",)
_OF_TOKENS = re.compile(r"lm_head|cls|predictions|vocab|proj_out|decoder|embed_out|generator", re.IGNORECASE)
_OF_CLASSES = re.compile(r"classifier|score|out_proj|qa_outputs", re.IGNORECASE)


class ForwardSubject:
    """One `forward` that computes a loss when it is given labels."""

    raises: str | None = None
    draws = False
    equal: str | None = None
    stack: str | None = None

    def __init__(self, context: Context, module: Module, row: int | None) -> None:
        self.context, self.module = context, module
        method = module.find(context.job.scope, row)
        owner = module.parents.get(id(method))
        if not isinstance(method, Function) or not isinstance(owner, ast.ClassDef):
            raise NotVerifiable(f"needs the class around `{context.job.scope}`")
        self.head = head_of(owner.name) or "causal"
        names = {a.arg for a in (*method.args.args, *method.args.kwonlyargs)}
        takes_count = method.args.kwarg is not None or "num_items_in_batch" in names
        self.stand_in = _Model(context, module, owner, self.head)
        bodies = [node.body for _, node in ancestry(self.stand_in.space, owner)]
        self.is_counted = takes_count and not any(_opts_out(each) for body in bodies for each in body)
        self.settings: tuple[str, ...] = (COUNT_PASSED, NO_COUNT) if self.is_counted else (NO_COUNT,)
        self.named = names if method.args.kwarg is None else None  # None: it takes any

    def pair(self, ragged: bool, setting: str, _ranks: int = 1) -> Pair:
        return self.windows(data.rows(ragged, self.context.job.seed), STEPS, setting)

    def windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair:
        torch.manual_seed(self.context.job.seed)  # layers are made by the first run, whatever ran in between
        windows = in_windows(rows[: WINDOWS * steps], steps)
        accumulated = [self._gradient([[row] for row in window], setting) for window in windows]
        whole = [self._gradient([window], setting) for window in windows]
        if is_zero(whole):
            raise NotVerifiable("needs a loss that reaches the model: its gradient is zero")
        return Pair([accumulated], whole)

    def _gradient(self, parts: Sequence[Sequence[data.Row]], setting: str) -> Gradient:
        """The gradient as the Trainer accumulates it: divided by the parts only where no count is passed."""
        batches = [data.collate(part, self.head) for part in parts]
        is_counted = setting == COUNT_PASSED and self.is_counted
        count = sum(_targets(batch, self.head) for batch in batches) if is_counted else None
        self.stand_in.clear()
        for batch in batches:
            given = {name: value for name, value in batch.items() if self.named is None or name in self.named}
            if count is not None:
                given["num_items_in_batch"] = torch.tensor(count)
            loss = _loss_of(self.stand_in.value.forward(**given))
            (loss if count is not None else loss / len(batches)).backward()
        return self.stand_in.gradient()


def _opts_out(statement: ast.stmt) -> bool:
    """`accepts_loss_kwargs = False`, of the class or its objects: the Trainer passes no count, and divides itself."""
    match statement:
        case ast.FunctionDef(name="__init__", body=body):
            return any(map(_opts_out, body))
        case (
            ast.Assign(targets=[target], value=ast.Constant(value=False))
            | ast.AnnAssign(target=target, value=ast.Constant(value=False))
        ):
            return ast.unparse(target).removeprefix("self.") == "accepts_loss_kwargs"
    return False


def _targets(batch: data.Batch, head: str) -> int:
    """What the Trainer counts, or what the loss of the library counts for it."""
    labels = batch.get("labels")
    if labels is None or labels.dim() == 1:
        return len(batch["input_ids"])
    return int((labels[:, 1:] if head == "causal" else labels).ne(data.IGNORE).sum())


def _loss_of(result: Any) -> Any:
    loss = result[0] if isinstance(result, tuple) else result
    loss = loss if isinstance(loss, torch.Tensor) else getattr(loss, "loss", loss)
    if isinstance(loss, Unknown):
        loss._void()
    if not isinstance(loss, torch.Tensor) or loss.dim():
        raise NotVerifiable("needs a forward that returns its loss first, or as `loss`")
    return loss


class _Model:
    """The `self` of a forward: layers of torch as `__init__` builds them, everything below as small stand-ins."""

    def __init__(self, context: Context, module: Module, owner: ast.ClassDef, head: str) -> None:
        self.context, self.owner, self.head = context, owner, head
        files = SliceFiles(project_root(module.path), context.recorder)
        files.guess = lambda name: guess(name, module, context.recorder)
        self.space = files.module_namespace(module)
        self.config = Config(
            vocab_size=data.VOCABULARY, pad_token_id=data.PAD, num_labels=data.CLASSES, problem_type=None,
            use_return_dict=True, hidden_size=WIDTH, d_model=WIDTH, n_embd=WIDTH, is_decoder=False,
        )  # fmt: skip
        self.made: dict[str, nn.Module] = {}
        torch.manual_seed(context.job.seed)
        self.value: Any = SelfStandIn(self, self.space, owner)

    def clear(self) -> None:
        for module in self.made.values():
            module.zero_grad()

    def gradient(self) -> Gradient:
        return {
            f"{name}.{key}": (torch.zeros_like(p) if p.grad is None else p.grad).detach().clone()
            for name, module in self.made.items()
            for key, p in module.named_parameters()
        }

    def bind(self, name: str) -> object:
        part = name.removeprefix("self.")
        known: dict[str, object] = {"config": self.config, "num_labels": data.CLASSES, "training": True}
        if part in known:
            return known[part]
        if part == "base_model_prefix":
            return "model"
        if part.endswith("_bias"):
            return torch.zeros(())
        if part == "loss_function":
            return _library_loss(self.owner.name)
        expression = self._built(part)
        if expression is None and part == "model":  # below a head that any model may stand under
            expression = ast.Call(ast.Name("Model"), [], [])
        if expression is None and _OF_CLASSES.search(part):
            expression = ast.Call(ast.Name("Head"), [], [])
        if not isinstance(expression, ast.Call):
            return MISSING
        self.made[part] = self._layer(part, expression)
        return self.made[part]

    def guess(self, name: str) -> object:
        return self.space.files.guess(name)

    def _built(self, name: str) -> ast.expr | None:
        for method in self.owner.body:
            if isinstance(method, Function) and method.name in _SETUPS:
                found = list(assigned(method, name))
                if found:
                    return found[-1]
        return None

    def _layer(self, name: str, call: ast.Call) -> nn.Module:
        """A layer of torch with the sizes of the configuration; what the file builds itself is a stand-in."""
        root = (dotted(call.func) or "").split(".")[0]
        if root in ("nn", "torch"):
            init = next(m for m in self.owner.body if isinstance(m, Function) and m.name in _SETUPS)
            space: Namespace = self.space.inner(init)
            space.update(config=self.config, self=self.value)
            layer = space.evaluate(call)
            if isinstance(layer, nn.Module):
                return layer
        self.context.recorder.assume(f"`self.{name}` is a small stand-in")
        return _Backbone(data.VOCABULARY if _OF_TOKENS.search(name) else data.CLASSES, name)


class _Backbone(nn.Module):
    """What lies below the head, or a head of the file's own: ids to hidden states, hidden states to scores."""

    def __init__(self, scores: int, name: str) -> None:
        super().__init__()
        self.is_head = bool(_OF_TOKENS.search(name) or _OF_CLASSES.search(name))
        self.embedding = None if self.is_head else nn.Embedding(data.VOCABULARY, WIDTH)
        self.mix = nn.Linear(WIDTH, scores if self.is_head else WIDTH)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = [kwargs.get("decoder_input_ids"), kwargs.get("input_ids"), *args, *kwargs.values()]
        tensors = [each for each in given if isinstance(each, torch.Tensor)]
        if self.embedding is None:
            return self.mix(next(each for each in tensors if each.is_floating_point()))
        ids = next((each for each in tensors if not each.is_floating_point() and each.dim() == 2), None)
        if ids is None:
            raise NotVerifiable("needs a model that is called with token ids")
        hidden = self.embedding(ids.clamp(min=0))
        steps = torch.arange(1, ids.shape[1] + 1, dtype=hidden.dtype)
        hidden = torch.tanh(self.mix(hidden.cumsum(1) / steps[None, :, None]) + hidden)
        return _Hidden(hidden)

    @property
    def shared(self) -> nn.Module | None:
        return self.embedding


class _Hidden:
    """The result of a backbone: hidden states, a pooled one, and nothing else."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state, self.pooler_output = hidden, hidden[:, 1]

    def __getitem__(self, key: Any) -> Any:
        return (self.last_hidden_state, self.pooler_output)[key] if not isinstance(key, str) else getattr(self, key)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _library_loss(name: str) -> Any:
    """`PreTrainedModel.loss_function`: chosen by the name of the class."""
    from transformers.loss.loss_utils import LOSS_MAPPING

    found = re.search(r"For[A-Z]\w+", name)
    loss = LOSS_MAPPING.get(found.group() if found else "ForCausalLM" if "LMHead" in name else "")
    if loss is None:
        raise NotVerifiable(f"needs the loss that the library gives to `{name}`")
    return loss
