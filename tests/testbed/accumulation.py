"""What should the parameters be after every optimizer step? Ragged data, and an oracle that never accumulates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCAB, STEPS, LEARNING_RATE = 7, 3, 0.5
IGNORED = -100
# Targets per row, two rows a micro-batch: three full windows and a short one of two. The first row's first label is
# live, so that shifted and unshifted counts differ; one micro-batch has a single target.
ROWS = ((6, 1), (2, 5), (1, 1), (4, 4), (6, 5), (1, 2), (3, 1), (1, 0), (5, 5), (2, 6), (1, 3))
Batch = dict[str, Tensor]


class TinyModel(nn.Module):
    """Token logits, and the mean loss when labels are given; `shifts` as causal models do."""

    def __init__(self, shifts: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(VOCAB, 5)
        self.head = nn.Linear(5, VOCAB)
        self.shifts = shifts
        self.double()

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> Output:
        logits = self.head(torch.tanh(self.embedding(input_ids)))
        loss = None if labels is None else token_loss(logits, labels, self.shifts, "mean")
        return Output(logits, loss, logits.pow(2).mean())


class Output:
    """What a model returns: attributes, and the loss first."""

    def __init__(self, logits: Tensor, loss: Tensor | None, aux_loss: Tensor) -> None:
        self.logits, self.loss, self.aux_loss = logits, loss, aux_loss

    def __getitem__(self, index: int) -> Tensor | None:
        return (self.loss, self.logits)[index]


def token_loss(logits: Tensor, labels: Tensor, shifts: bool, reduction: str) -> Tensor:
    if shifts:
        logits, labels = logits[:, :-1], labels[:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction=reduction)


def micro_batches(rows: Sequence[tuple[int, int]] = ROWS) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    batches = []
    for counts in rows:
        ids = torch.randint(0, VOCAB, (2, 7), generator=generator)
        labels = ids.clone()
        for row, count in enumerate(counts):
            live = slice(0, count) if count == 6 else slice(1, 1 + count)
            mask = torch.ones(7, dtype=torch.bool)
            mask[live] = False
            labels[row][mask] = IGNORED
        batches.append({"input_ids": ids, "labels": labels})
    return batches


class Recorder:
    """An optimizer, and the parameters after each of its steps."""

    def __init__(self, model: nn.Module) -> None:
        self.optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
        self.seen: list[Tensor] = []
        self.optimizer.register_step_post_hook(lambda *_: self.seen.append(flat(model)))


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]).clone()


def oracle(windows: Sequence[Sequence[Batch]], shifts: bool = True, aux: float = 0.0) -> list[Tensor]:
    """The parameters after every step: one full batch a window, its token mean, one gradient, SGD by hand.

    `aux` times the average over forwards of what each forward gives once is added.
    """
    model, seen = TinyModel(shifts), []
    for window in windows:
        whole = {key: torch.cat([batch[key] for batch in window]) for key in window[0]}
        loss = token_loss(model(whole["input_ids"]).logits, whole["labels"], shifts, "mean")
        if aux:
            loss = loss + aux * torch.stack([model(batch["input_ids"]).aux_loss for batch in window]).mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(LEARNING_RATE * gradient)
        seen.append(flat(model))
    return seen


def windows_of(batches: Sequence[Batch], *, short: bool = True, seen: int = 0) -> list[list[Batch]]:
    """The windows in order; without `short` the last one is left out unless it is full.

    `seen` micro-batches came before the first one: what they left of their window is the first window.
    """
    ends = [end for end in range(1, len(batches) + 1) if (seen + end) % STEPS == 0]
    if short and ends[-1] < len(batches):
        ends.append(len(batches))
    return [list(batches[start:end]) for start, end in itertools.pairwise([0, *ends])]


def worst(seen: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative error of any step's update; steps that are missing or too many are infinitely wrong."""
    if len(seen) != len(expected):
        return float("inf")
    start = [flat(TinyModel())]
    moved = [after - before for before, after in itertools.pairwise([*start, *seen])]
    wanted = [after - before for before, after in itertools.pairwise([*start, *expected])]
    return max(float((a - b).norm() / b.norm()) for a, b in zip(moved, wanted, strict=True))
