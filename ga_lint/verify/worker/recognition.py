"""Which rows was the model given? Known by their tokens, also where some of them were masked out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from ga_lint.verify.worker.harness.data import PAD, VOCABULARY, Row


def rows_seen(window: Sequence[torch.Tensor], rows: Sequence[Row]) -> list[Row]:
    """The rows that the model was given in one window, once each; none when they are not ours."""
    known = [(_text(row.ids.tolist()), row) for row in rows]
    given = [ids for each in window if each.dim() == 2 for ids in each.tolist()]
    return list(dict.fromkeys(row for ids in given for row in _rows_of(ids, known)))


def _rows_of(ids: list[int], known: Sequence[tuple[str, Row]]) -> list[Row]:
    """A part is enough: causal code often gives the model all but the last token."""
    if all(token < VOCABULARY for token in ids):
        part = _text(ids)
        return [row for text, row in known if part in text]
    ids = _unpadded(ids)
    masked = [token >= VOCABULARY for token in ids]
    if all(masked):
        return []
    first, last = masked.index(False), len(ids) - masked[::-1].index(False)
    parts = zip(ids[first:last], masked[first:last], strict=True)
    pattern = re.compile("".join(r" \d+," if is_masked else f" {token}," for token, is_masked in parts))
    for matches in (pattern.match, pattern.search):  # most often from its first token on
        found = [row for text, row in known if matches(text)]
        if len(found) == 1:
            return found
    return []  # too little is left to tell


def _unpadded(ids: list[int]) -> list[int]:
    """The row without its padding, some of which may be masked out too."""
    start = next((place for place, token in enumerate(ids) if token != PAD), len(ids))
    row = ids[start:]
    return row[: row.index(PAD)] if PAD in row else row


def _text(ids: Sequence[int]) -> str:
    return "".join(f" {token}," for token in ids if token != PAD)
