"""Which model stands in for the user's? A tiny one with the head that the code names: the head decides the loss."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.averaging import Averaging
from ga_lint.verify.worker.harness.data import CLASSES, PAD, VOCABULARY
from ga_lint.verify.worker.harness.stand_ins import Unknown


class Output(dict[str, torch.Tensor]):
    """A model's output: by attribute, by key, by position; and the logits themselves, for code that takes it so.

    A second term, as of a router, is there under every name that is usual: a mean over examples, whose right weight
    is another than that of a mean over targets.
    """

    auxiliary: torch.Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if re.search(r"aux|balanc|z_loss", name):
            return torch.zeros(()) if self.auxiliary is None else self.auxiliary
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self["logits"], name)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key] if isinstance(key, int | slice) else self["logits"][key]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        options = {name: _logits(value) for name, value in (kwargs or {}).items()}
        return func(*map(_logits, args), **options)

    def to_tuple(self) -> tuple[torch.Tensor, ...]:
        return tuple(self.values())


def _logits(value: Any) -> Any:
    return value["logits"] if isinstance(value, Output) else value


class Config(SimpleNamespace):
    """A model's configuration: what is not given is a small number that fits its name."""

    longest = 64

    def get_text_config(self, *_: object, **__: object) -> Config:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.endswith("_config"):
            return self
        if re.search(r"dropout|prob$|layerdrop", name):
            return 0
        return self.longest if re.search(r"block_size|max_|n_positions|n_ctx|context|seq_len", name) else 1


class TinyModel(nn.Module):
    """For loops: causal mixing over the time axis, no dropout, float64 throughout.

    `returns` is how the loop takes the result: "output" (Hugging Face), "logits", "loss", "logits,loss", "loss,logits".
    `shifts`: whether the model shifts the labels itself.
    """

    def __init__(self, returns: str, shifts: bool, head: str, ignore: int, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        classes = {"causal": VOCABULARY, "unshifted": VOCABULARY, "span": 2}.get(head, CLASSES)
        self.embedding = nn.Embedding(VOCABULARY, 12, dtype=dtype)
        self.mix = nn.Linear(12, 12, dtype=dtype)
        self.head = nn.Linear(12, classes, dtype=dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype) * 0.4)
        self.returns, self.shifts, self.kind, self.ignore = returns, shifts, head, ignore
        self.config = Config(
            vocab_size=VOCABULARY,
            pad_token_id=PAD,
            mask_token_id=VOCABULARY,  # no token of a row
            hidden_size=12,
            num_labels=classes,
            is_encoder_decoder=False,
        )
        self.vocab_size, self.max_seq_length = VOCABULARY, 64
        self.seen: list[torch.Tensor] = []  # the token ids of each forward pass, to know which rows a window held
        self.extras: dict[str, object] = {}  # what stands in for attributes that only the user's model has
        self.predicts_inputs = False  # what it is given is one block of ids without padding
        self.averaging: Averaging | None = None  # what its data-parallel wrapper does, on several ranks

    @property
    def module(self) -> TinyModel:
        return self

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.weight.dtype

    def __getattr__(self, name: str) -> Any:
        extras = self.__dict__.get("extras", {})
        return extras[name] if name in extras else super().__getattr__(name)

    def no_sync(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.averaging is None else self.averaging.no_sync()

    @property
    def require_backward_grad_sync(self) -> bool:
        return self.averaging is None or self.averaging.syncs

    @require_backward_grad_sync.setter
    def require_backward_grad_sync(self, syncs: bool) -> None:
        if self.averaging is not None:
            self.averaging.syncs = bool(syncs)

    def set_requires_gradient_sync(self, *args: Any, **kwargs: Any) -> None:
        if self.averaging is not None:
            self.averaging.set_requires_gradient_sync(*args, **kwargs)

    def _nothing(self, *_: object, **__: object) -> None:
        return None

    gradient_checkpointing_enable = gradient_checkpointing_disable = enable_input_require_grads = _nothing
    save_pretrained = resize_token_embeddings = _nothing

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.averaging is not None:
            self.averaging.forwarded()
        ids, labels = self._inputs(args, kwargs)
        ids = ids.remainder(VOCABULARY)  # a special token of the user's, such as a mask, has an id of its own
        hidden = self.embedding(ids)  # (batch, time, width)
        steps = torch.arange(1, ids.shape[1] + 1, dtype=hidden.dtype)
        hidden = torch.tanh(self.mix(hidden.cumsum(1) / steps[None, :, None]) + hidden)
        logits = self.head(hidden[:, 1] if self.kind == "sequence" else hidden)
        if self.kind == "span":
            return _span(logits, args, kwargs, self.returns)
        loss = None if labels is None else self._loss(logits, labels, kwargs.get("num_items_in_batch"))
        match self.returns:
            case "logits":
                return [logits] if any("chunk" in name for name in kwargs) else logits
            case "loss":
                return self._of_its_inputs(logits, ids) if loss is None else loss
            case "logits,loss":
                return logits, loss
            case "loss,logits":
                return loss, logits
        parts = {"loss": loss, "logits": logits, "hidden_states": (hidden,)}
        output = Output({name: part for name, part in parts.items() if part is not None})
        output.auxiliary = hidden[:, 1].pow(2).mean()  # of a token that every row has: the cut is not to matter
        return output

    def _of_its_inputs(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The loss of a model that is given token ids alone: each predicts the next one."""
        if not self.predicts_inputs:
            raise NotVerifiable("needs the labels that its model makes of its inputs")
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, count: Any) -> torch.Tensor:
        if self.kind == "sequence":
            return F.cross_entropy(logits, labels)
        if self.shifts:
            logits, labels = logits[:, :-1], labels[:, 1:]
        reduction = "mean" if count is None else "sum"
        loss = F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=self.ignore, reduction=reduction
        )
        return loss if count is None else loss / count

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Token ids and labels, by keyword first, then by position."""
        if args and isinstance(args[0], dict):
            args, kwargs = args[1:], {**args[0], **kwargs}
        integers = [a for a in args if isinstance(a, torch.Tensor) and not a.is_floating_point()]
        labels = next((v for name, v in kwargs.items() if re.search("label|target", name)), None)
        ids = kwargs.get("input_ids")
        if ids is None and integers:
            ids = integers.pop(0)
            if integers and integers[-1].dim() == 2 and integers[-1].shape[1] == ids.shape[1] - 1:
                self.seen.append(ids)
                ids = integers.pop().clamp(min=PAD)  # a decoder's, without the last target; the first: its encoder's
            if labels is None and integers and self.returns != "logits" and integers[-1].shape == ids.shape:
                labels = integers[-1]
        if ids is None:
            ids = next(
                (v for v in kwargs.values() if isinstance(v, torch.Tensor) and v.dim() == 2 and v is not labels), None
            )
        for value in (*args, *kwargs.values()) if ids is None else ():
            if isinstance(value, Unknown):
                value._void()
        if ids is None:
            raise NotVerifiable("needs a model that is called with token ids")
        self.seen.append(ids)
        return ids, labels


def _span(logits: torch.Tensor, args: Sequence[Any], kwargs: dict[str, Any], returns: str) -> Any:
    """Extractive question answering: a first and a last position for each example."""
    given = {**args[0], **kwargs} if args and isinstance(args[0], dict) else dict(kwargs)
    places = [a for a in args if isinstance(a, torch.Tensor) and a.dim() == 1]
    given.update(zip(("start_positions", "end_positions"), places[-2:], strict=False))
    parts = {"start": logits[..., 0], "end": logits[..., 1]}
    output = Output({f"{name}_logits": part for name, part in parts.items()})
    if all(f"{name}_positions" in given for name in parts):
        losses = [F.cross_entropy(part, given[f"{name}_positions"]) for name, part in parts.items()]
        output = Output(loss=(losses[0] + losses[1]) / 2, **output)
    if returns.startswith("loss") and "loss" in output:
        return output["loss"] if returns == "loss" else output.to_tuple()
    return output
