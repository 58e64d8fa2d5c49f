"""Does the file itself say that all its micro-batches hold the same number of targets?

Without this, a language model that is trained on blocks of one size would be called wrong for data that it never sees.
"""

from __future__ import annotations

import re

# Signs that counts differ: an ignore index, padding, a mask in the loss, a collator that pads.
_RAGGED = re.compile(
    r"-100\b|ignore_index|ignore_idx|IGNORE_INDEX|pad_sequence|padding\s*=|padding_side|pad_token|pad_id|loss_mask|label_mask"
    r"|DataCollatorFor(?:Seq2Seq|LanguageModeling|TokenClassification|CompletionOnly)|SFTDataset|attention_mask"
)
_BLOCKS = (
    (re.compile(r"\bgroup_texts\b"), "group_texts() cuts blocks of one size"),
    (
        re.compile(r"\bblock_size\b(?=[^\n]*torch\.stack)|torch\.stack\([^\n]*block_size"),
        "get_batch() stacks blocks of one size",
    ),
    (re.compile(r"\.view\(\s*(?:self\.)?B\s*,\s*(?:self\.)?T\s*\)"), "batches are views of (B, T)"),
    (re.compile(r"\bget_batch\s*\([^)]*\)"), "get_batch() returns full blocks"),
    (re.compile(r"\[:,\s*0\s*:\s*[\w.]*(?:max_seq_length|block_size)\]"), "rows are cut at one length"),
)


def equal_counts(text: str) -> str | None:
    """Why all counts are equal, or None when they can differ or nothing is known."""
    for pattern, reason in _BLOCKS[:1]:
        if pattern.search(text):
            return reason
    if _RAGGED.search(text):
        return None
    return next((reason for pattern, reason in _BLOCKS if pattern.search(text)), None)
