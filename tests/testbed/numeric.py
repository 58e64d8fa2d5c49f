"""What gradient does a page's code give, and what should it be?

The oracle owes nothing to ga-lint: plain torch, float64, the gradient of the mean over *all* targets of a window, taken
in one go. A block's gradient is caught in `optimizer.step()`; the learning rate is zero, so every window starts from
the same parameters. `scale` is <g, oracle> / <oracle, oracle>, `error` is |g - oracle| / |oracle|.

A block is a loop, `train(model, loader, optimizer, steps)`, a subclass of transformers' Trainer, or a function that
builds a Trainer, `build(config, dataset, collator)`. A loop sees two windows of four micro-batches; a Trainer sees one,
on each rank.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from testbed.crew import crew, serve

VOCABULARY, TIME, STEPS = 97, 16, 4
RAGGED = (14, 2, 9, 1, 15, 3, 6, 12)  # targets of each row: an ordinary spread of answers
EQUAL = (8,) * len(RAGGED)
FULL_ROW = 4  # this row has 15 targets: its first label is live too, so that an unshifted count is one too many

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Measured:
    """What became of the gradient; `raised` names the exception where there is none."""

    scale: float = float("nan")
    error: float = float("nan")
    raised: str | None = None


def measure(codes: Sequence[str], *, ragged: bool = True, ranks: int = 1, rows: int = len(RAGGED)) -> list[Measured]:
    """Run each block on the same data."""
    targets = (RAGGED if ragged else EQUAL)[:rows]
    if ranks == 1:
        return [_measure(code, targets) for code in codes]
    return _measure_on_ranks(codes, targets, ranks)


def _measure(code: str, targets: Sequence[int]) -> Measured:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say about each other is theirs
        return _measured(code, targets)


def _measured(code: str, targets: Sequence[int]) -> Measured:
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "<page>", "exec"), namespace)
    rows = make_rows(targets)
    try:
        if callable(namespace.get("train")):
            got, wanted = _run_on_this_rank(namespace["train"], rows)
        else:
            world = int(os.environ.get("WORLD_SIZE", "1"))
            rows = rows[: STEPS * world]
            if callable(namespace.get("build")):
                return _compared(*run_built(namespace, rows))
            got = run_trainer(_trainer_of(namespace), rows)
            wanted = [oracle(tiny_llama(), rows)]
    except TypeError as error:
        return Measured(raised=type(error).__name__)
    return _compared(got, wanted)


def _compared(got: list[Tensor], wanted: list[Tensor]) -> Measured:
    if len(got) != len(wanted):
        raise AssertionError(f"{len(got)} optimizer steps, not {len(wanted)}")
    gradient, truth = torch.cat(got), torch.cat(wanted)
    scale = (gradient @ truth) / (truth @ truth)
    return Measured(scale.item(), ((gradient - truth).norm() / truth.norm()).item())


def _run_on_this_rank(train: Callable[..., object], rows: list[Batch]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of a loop's windows, and the truth. Each of several ranks has one window, and all are one batch."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if world == 1:
        windows = [rows[i : i + STEPS] for i in range(0, len(rows), STEPS)]
        return run_loop(train, rows), [oracle(TinyLM(), window) for window in windows]
    rows = rows[: STEPS * world]
    return run_loop(train, rows[STEPS * rank :][:STEPS]), [oracle(TinyLM(), rows)]


def make_rows(targets: Sequence[int]) -> list[Batch]:
    """One sample for each number of targets: random tokens, the labels before the targets masked."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for count in targets:
        ids = torch.randint(3, VOCABULARY, (TIME,), generator=generator)
        labels = ids.clone()
        labels[: TIME - count if count < TIME - 1 else 0] = -100
        rows.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels})
    return rows


def collate(rows: Sequence[Batch]) -> Batch:
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


class TinyLM(nn.Module):
    """Enough of a language model that the gradient of each target differs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embed = nn.Embedding(VOCABULARY, 16)
        self.mix = nn.Linear(16, 16)
        self.head = nn.Linear(16, VOCABULARY)
        self.double()

    def forward(self, input_ids: Tensor, **_: Tensor) -> Tensor:
        hidden = self.embed(input_ids).cumsum(1)  # (batch, time, 16): each place sees those before it
        return cast("Tensor", self.head(torch.tanh(self.mix(hidden))))


def tiny_config() -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, use_cache=False, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, num_labels=VOCABULARY, classifier_dropout=0.0,
    )  # fmt: skip


def tiny_llama() -> nn.Module:
    """The real thing, as small as it gets."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(1)
    return cast("nn.Module", LlamaForCausalLM(tiny_config()).double())


def oracle(model: nn.Module, rows: Sequence[Batch], *, shifts: bool = True) -> Tensor:
    """The gradient of the mean over all targets of `rows`; `shifts`: each place is to predict the next token."""
    batch = collate(rows)
    output = model(batch["input_ids"])
    logits = output if isinstance(output, Tensor) else output["logits"]
    targets = batch["labels"][:, 1:] if shifts else batch["labels"]
    logits = logits[:, :-1] if shifts else logits
    nll = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none")
    torch.autograd.backward(nll.sum() / (targets != -100).sum())
    return _gradient(model.parameters())


class RecordingSGD(torch.optim.SGD):
    """Keeps the gradient that each step would have used, and leaves the parameters alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), lr=0.0)
        self.gradients: list[Tensor] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if closure is not None:  # Lightning runs the whole window's last batch inside
            closure()
        self.gradients.append(_gradient(self.param_groups[0]["params"]))


def run_loop(train: Callable[..., object], rows: list[Batch]) -> list[Tensor]:
    """The gradient of each window, as the loop hands it to the optimizer."""
    state = importlib.import_module("accelerate.state")
    state.AcceleratorState._reset_state()
    state.GradientState._reset_state()
    model = TinyLM()
    optimizer = RecordingSGD(model)
    train(model, DataLoader(cast("Any", rows), batch_size=1, collate_fn=collate), optimizer, STEPS)
    return optimizer.gradients


def run_trainer(trainer_class: Callable[..., Any], rows: list[Batch]) -> list[Tensor]:
    """The gradient of one step of the real Trainer. One window is all the data, so its order does not matter."""
    from transformers import TrainingArguments

    model = tiny_llama()
    optimizer = RecordingSGD(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, gradient_accumulation_steps=STEPS, **arguments_of_a_run())
        trainer_class(
            model=model, args=arguments, train_dataset=rows, data_collator=collate, optimizers=(optimizer, None)
        ).train()
    return optimizer.gradients


def arguments_of_a_run() -> dict[str, Any]:
    """One step, one row in each micro-batch, nothing clipped, saved or logged."""
    return {
        "per_device_train_batch_size": 1, "max_steps": 1, "max_grad_norm": 0.0, "use_cpu": True, "report_to": [],
        "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
        "ddp_backend": "gloo" if "RANK" in os.environ else None,
    }  # fmt: skip


def run_built(namespace: dict[str, Any], rows: list[Batch]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradient of a Trainer that the block builds, with its own arguments and head; and the truth."""
    from transformers import TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        namespace["TrainingArguments"] = lambda _, **given: TrainingArguments(folder, **arguments_of_a_run(), **given)
        torch.manual_seed(1)
        trainer = namespace["build"](tiny_config(), rows, collate)
        model = trainer.model.double()
        trainer.optimizer = RecordingSGD(model)
        wanted = oracle(model, rows, shifts=namespace.get("SHIFTS", False))
        model.zero_grad()
        trainer.train()
    return trainer.optimizer.optimizer.gradients, [wanted]


def _trainer_of(namespace: dict[str, Any]) -> Callable[..., Any]:
    from transformers import Trainer

    own = [v for v in namespace.values() if isinstance(v, type) and issubclass(v, Trainer) and v.__module__ == "page"]
    return own[-1]


def _gradient(parameters: Any) -> Tensor:
    return torch.cat([p.grad.detach().reshape(-1).clone() for p in parameters])


def _measure_on_ranks(codes: Sequence[str], targets: Sequence[int], ranks: int) -> list[Measured]:
    """The same in processes of their own, joined by gloo. Rank 0 answers."""
    answer = crew(ranks).run({"codes": list(codes), "targets": list(targets)})
    return [Measured(**row) for row in answer]


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    serve(lambda asked: [asdict(_measure(code, asked["targets"])) for code in asked["codes"]])
    torch.distributed.destroy_process_group()
