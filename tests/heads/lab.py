"""What does one step of the real Trainer do to a head's gradient? Compared with the gradients of its rows.

Four rows, one a micro-batch, four accumulation steps. The noise is off: the model stays in evaluation mode.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

ROWS = 4  # and accumulation steps
TOLERANCE = 1e-4  # float32 through a whole model
APART = 1e-2  # what must lie between two descriptions
Row = Mapping[str, torch.Tensor]


class Kind(enum.StrEnum):
    """What the window's gradient is."""

    EXACT = "the gradient of the mean over all targets"
    WEIGHTS = "the mean of the rows' gradients"
    STEPS = "the sum of the rows' gradients"


def stack(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


class _Recorder(transformers.TrainerCallback):
    """Keeps the gradient as the optimizer sees it."""

    gradient: torch.Tensor

    def on_pre_optimizer_step(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
        self.gradient = gradient_of(kwargs["model"])


def gradient_of(model: torch.nn.Module) -> torch.Tensor:
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters() if p.requires_grad]
    return torch.cat([part.detach().reshape(-1).double() for part in parts])


def plain(model: torch.nn.Module, rows: Sequence[Row]) -> torch.Tensor:
    """The gradient of the loss that the model returns for these rows, without any count."""
    model.zero_grad()
    model(**stack(rows)).loss.backward()
    found = gradient_of(model)
    model.zero_grad()
    return found


def trained(model: torch.nn.Module, rows: Sequence[Row], folder: Path) -> torch.Tensor:
    """The gradient of one window under the Trainer; the weights stay as they are."""
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=ROWS,
        max_steps=1,
        learning_rate=0.0,
        optim="sgd",
        max_grad_norm=0.0,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        log_level="critical",
    )
    recorder = _Recorder()
    trainer = transformers.Trainer(
        model=model, args=arguments, train_dataset=list(rows), data_collator=stack, callbacks=[recorder]
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.train()
    model.zero_grad()
    return recorder.gradient


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@dataclass(frozen=True)
class Wanted:
    """What the window's gradient is in each description; with equal counts the first two are one."""

    gradients: Mapping[Kind, torch.Tensor]

    @classmethod
    def of(cls, model: torch.nn.Module, rows: Sequence[Row]) -> Wanted:
        singles = torch.stack([plain(model, [row]) for row in rows])
        wanted = {Kind.EXACT: plain(model, rows), Kind.WEIGHTS: singles.mean(0), Kind.STEPS: singles.sum(0)}
        assert all(distance(wanted[Kind.STEPS], wanted[kind]) > APART for kind in (Kind.EXACT, Kind.WEIGHTS))
        return cls(wanted)

    def fitting(self, found: torch.Tensor) -> list[Kind]:
        return [kind for kind, gradient in self.gradients.items() if distance(found, gradient) < TOLERANCE]

    def scale(self, found: torch.Tensor) -> float:
        """How many times the exact gradient is in it."""
        exact = self.gradients[Kind.EXACT]
        return float(found @ exact / (exact @ exact))
