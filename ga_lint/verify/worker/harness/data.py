"""Which rows is everything run on? Fixed windows of four rows whose counts differ in every way that matters.

The first window holds 4, 15, 3 and 9 targets (shifted by one, as causal models count them). One row of each window has
a live first label: without it a shifted and an unshifted count could not be told apart. The windows differ in their
totals: else a count that is left over from the last window would go unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ga_lint.verify.worker.reading.layout import IGNORE as IGNORE

VOCABULARY = 32
CLASSES = 5  # of heads that classify tokens or sequences
PAD = 0
LONGEST = 18
# (length of the row, length of its masked prompt); shifted targets = length - max(prompt, 1)
_RAGGED = (
    ((5, 0), (17, 2), (8, 5), (12, 3)),
    ((11, 2), (3, 1), (12, 0), (8, 3)),
    ((6, 3), (9, 2), (5, 0), (18, 2)),
    ((14, 3), (5, 0), (9, 4), (10, 1)),
)
_EQUAL = (((12, 3),) * 4,) * 4


@dataclass(frozen=True, eq=False)
class Row:
    """One example without padding: `labels` has its prompt masked."""

    ids: torch.Tensor  # (time,)
    labels: torch.Tensor  # (time,)


def rows(ragged: bool, seed: int = 0) -> list[Row]:
    """Four windows of four rows, in order."""
    return rows_like(ragged, sum(map(len, _RAGGED)), seed)


def rows_like(ragged: bool, count: int, seed: int) -> list[Row]:
    """This many rows: first those of every check, then others of the same shapes."""
    shapes = [shape for window in (_RAGGED if ragged else _EQUAL) for shape in window]
    return rows_shaped([shapes[number % len(shapes)] for number in range(count)], seed)


def rows_shaped(shapes: Iterable[tuple[int, int]], seed: int) -> list[Row]:
    """A row for each (length, length of its masked prompt)."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for length, prompt in shapes:
        ids = torch.randint(1, VOCABULARY, (length,), generator=generator)
        labels = ids.clone()
        labels[:prompt] = IGNORE
        found.append(Row(ids, labels))
    return found


def dealt(ragged: bool, seed: int, ranks: int) -> list[list[Row]]:
    """The rows of each rank: windows of four, and the ranks of a window hold very different numbers of targets."""
    pools = [rows(ragged, seed + number) for number in range(ranks)]
    found: list[list[Row]] = [[] for _ in range(ranks)]
    for window, start in enumerate(range(0, len(pools[0]), 4)):
        pool = sorted((row for each in pools for row in each[start : start + 4]), key=lambda row: len(row.ids))
        for rank in range(ranks):  # rank 0 has the fewest targets first, then the most: a count must be that of now
            place = (rank + window) % ranks
            found[rank] += pool[4 * place : 4 * place + 4]
    return found


class Batch(dict[str, Any]):
    """A batch as tokenizers return it: items are attributes too, and it can be moved.

    `unknown` makes what stands in for an item that cannot be derived.
    """

    unknown: ClassVar[Callable[[str, Batch], object] | None] = None
    apart: ClassVar[bool] = False  # taken for several batches, or for a tuple: a real one has no labels at its top
    hides_labels: ClassVar[bool] = False
    weights: ClassVar[int | None] = None  # the shape of those that the code takes from a batch, once it does

    @property
    def nested(self) -> dict[str, int]:
        """The batches inside this one, numbered."""
        found: dict[str, int] = self.__dict__.setdefault("_nested", {})
        return found

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) and not (key == "labels" and Batch.hides_labels)

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def __missing__(self, key: str) -> object:
        if super().__contains__(key):
            return self.get(key)
        if not super().__contains__("input_ids"):
            raise KeyError(key)  # its parts have names of their own: nothing can be derived
        value = derived(self, key)
        if value is None and Batch.unknown is not None and isinstance(key, str):
            return Batch.unknown(f"batch.{key}", self)
        if value is None:
            raise KeyError(key)
        return value

    def pop(self, key: str, *default: Any) -> Any:
        return super().pop(key, *default) if default or key in self else self[key]

    def to(self, *_: object, **__: object) -> Batch:
        return self

    pin_memory = to


def collate(chosen: Sequence[Row], head: str = "causal", ignore: int = IGNORE) -> Batch:
    """The rows as one batch, padded on the right; labels as the head wants them."""
    width = max(len(row.ids) for row in chosen)
    ids = torch.full((len(chosen), width), PAD)
    labels = torch.full((len(chosen), width), IGNORE)
    mask = torch.zeros(len(chosen), width, dtype=torch.long)
    for number, row in enumerate(chosen):
        ids[number, : len(row.ids)] = row.ids
        labels[number, : len(row.ids)] = row.labels
        mask[number, : len(row.ids)] = 1
    if head == "sequence":
        return Batch(input_ids=ids, attention_mask=mask, labels=ids[:, 1] % CLASSES)
    if head == "span":
        ends = {"start_positions": ids[:, 1] % 3, "end_positions": ids[:, 2] % 3}  # every row is longer than that
        return Batch(input_ids=ids, attention_mask=mask, **ends)
    if head == "token":
        labels = torch.where(labels == IGNORE, IGNORE, labels % CLASSES)
    labels[labels == IGNORE] = ignore
    return Batch(input_ids=ids, attention_mask=mask, labels=labels)


def variant(batch: Batch, number: int) -> Batch:
    """Another batch of the same shape: other tokens, the same lengths and masks. Number 0 is the batch itself."""
    if number == 0:
        return batch

    def other(tokens: torch.Tensor) -> torch.Tensor:
        return torch.where((tokens == PAD) | (tokens < 0), tokens, (tokens + 5 * number) % (VOCABULARY - 1) + 1)

    if not dict.__contains__(batch, "labels"):
        return Batch({**batch, "input_ids": other(batch["input_ids"])})
    labels = batch["labels"]
    changed = other(labels) if labels.shape == batch["input_ids"].shape else labels
    return Batch({**batch, "input_ids": other(batch["input_ids"]), "labels": changed})


WEIGHT_SHAPES = ("one for each row", "one for each row, on an axis of its own", "one for each token")
_DERIVED = (
    (r"^(sample|example|instance|loss|token|importance)?_?weights?$|^t$|^timesteps?$", "weights"),
    (r"^n(um)?_prompt_tokens$", "prompt count"),
    (r"^prompts?(_input)?(_ids)?$", "prompt"),
    (r"^prompt_(attention_)?mask$", "prompt mask"),
    (r"^(prompt|input|source|src|context|query|instruction)_?len(gth)?s?$", "prompt lengths"),
    (r"^responses?(_ids|_tokens)?$", "response"),
    (r"start_pos|end_pos|multi_?modal|image|pixel|audio|chosen|reject|prompt|score|reward|advantage|logp", ""),
    (
        r"label_?mask|loss_?mask|loss_?weights|token_?weights|completion_mask|response_mask|target_mask|assistant_mask",
        "loss mask",
    ),
    (r"mask", "attention mask"),
    (r"label|target|^(b?y|yb|tgt|gt|gold|trg)$|(^|_)(tgt|trg)(_|$)", "labels"),
    (r"position", "positions"),
    (r"token_type|segment", "segments"),
    (r"seq_?len|lengths?$", "lengths"),
    (r"input|ids$|^(b?x|xb|tokens?|text|src|source|data|seqs?|sequences?|samples?|inp)$|(^|_)(src|source)(_|$)", "ids"),
)


# Of a preference the one answer is the batch itself, and the other one has other tokens of the same lengths.
_PAIR = re.compile(r"(?:^|_)(?:(?P<kept>chosen|accepted|preferred)|rejected|reject|dispreferred)(?:_|$)", re.IGNORECASE)


def derived(batch: Batch, key: object) -> torch.Tensor | None:
    """What an item of that name would hold, or None when its name says nothing."""
    if not isinstance(key, str):
        return None
    if dict.__contains__(batch, key):
        return batch[key]  # type: ignore[no-any-return]
    pair = _PAIR.search(key)
    if pair is not None:
        Batch.apart = True
        base = batch if pair["kept"] else variant(batch, 1)
        return derived(base, _PAIR.sub(lambda m: "_" if m.start() and m.end() < len(key) else "", key) or "ids")
    meaning = next((meaning for pattern, meaning in _DERIVED if re.search(pattern, key, re.IGNORECASE)), "")
    return _meant(batch, meaning)


def _meant(batch: Batch, meaning: str) -> torch.Tensor | None:
    ids: torch.Tensor = batch["input_ids"]
    labels: torch.Tensor = batch.get("labels", ids)
    mask: torch.Tensor = batch["attention_mask"]
    match meaning:
        case "prompt":  # its first column: what the labels mask beyond that, they still mask
            return ids[:, :1]
        case "response":  # all but that column: its mask is the end of the batch's
            return ids[:, 1:]
        case "prompt mask":
            return mask[:, :1]
        case "prompt lengths" | "prompt count":  # masked positions before the first target; none predicts the first
            lengths = (labels != IGNORE).long().argmax(1).clamp(min=1) if labels.shape == ids.shape else None
            return lengths.sum() if lengths is not None and meaning == "prompt count" else lengths
        case "loss mask":
            if "labels" not in batch.keys():  # noqa: SIM118 - they may be hidden, and are there all the same
                return mask
            return (labels != IGNORE).to(mask.dtype) * mask if labels.shape == ids.shape else None
        case "attention mask":
            return mask
        case "labels":
            return labels
        case "positions":
            return torch.arange(ids.shape[1]).expand_as(ids)
        case "segments":
            return torch.zeros_like(ids)
        case "lengths":
            return mask.sum(1)
        case "weights":
            return _weights(mask)
        case "ids":
            return ids
    return None


def _weights(mask: torch.Tensor) -> torch.Tensor:
    """A positive number for each row, the same for rows of one length; for tokens it changes along the row."""
    Batch.weights = Batch.weights or 0
    each = 1 / (1 + mask.sum(1) % 4)
    places = 1 / (1 + torch.arange(mask.shape[1]) % 2)
    return (each, each[:, None], each[:, None] * places * mask)[Batch.weights]


def add_derived(batch: Batch, keys: Iterable[str]) -> Batch:
    """The batch with those of `keys` whose names say what they hold."""
    for key in keys:
        value = derived(batch, key) if key not in batch else None
        if value is not None:
            batch[key] = value
    return batch
