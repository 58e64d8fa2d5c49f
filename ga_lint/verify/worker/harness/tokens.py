"""What does a loop ask of its tokenizer? Batches of ids, and the ids of its special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.data import PAD, VOCABULARY
from ga_lint.verify.worker.harness.stack import Endless
from ga_lint.verify.worker.harness.stand_ins import Quiet


class Tokenizer(Quiet):
    """Called with texts, it yields the next batch; the texts themselves mean nothing here."""

    pad_token_id = PAD
    bos_token_id, eos_token_id, unk_token_id = 1, 2, 3
    mask_token_id = VOCABULARY  # no token of a row
    padding_side = "right"
    pad_token, bos_token, eos_token = "<pad>", "<s>", "</s>"
    vocab_size = VOCABULARY

    def __init__(self, batches: Sequence[Any] = ()) -> None:
        self._feed = Endless(batches)

    def __call__(self, *_: object, **__: object) -> Any:
        if not len(self._feed):
            raise NotVerifiable("needs the texts that it tokenizes while it trains")
        return next(self._feed)

    def batch_decode(self, rows: Any, *_: object, **__: object) -> list[str]:
        return [""] * len(rows)

    def decode(self, *_: object, **__: object) -> str:
        return ""

    def get_vocab(self) -> dict[str, int]:
        return {f"<{number}>": number for number in range(VOCABULARY)}

    def get_vocab_size(self, *_: object, **__: object) -> int:
        return VOCABULARY

    def __len__(self) -> int:
        return VOCABULARY
