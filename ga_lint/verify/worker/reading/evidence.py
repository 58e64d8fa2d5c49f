"""Does the file itself say that all its micro-batches hold the same number of targets?

Without this, a language model that is trained on blocks of one size would be called wrong for data that it never sees.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

_PADDING = r"-100\b|pad_sequence|padding_side|pad_token|pad_id|loss_mask|label_mask|SFTDataset|attention_mask"
_COLLATORS = r"|DataCollatorFor(?:Seq2Seq|LanguageModeling|TokenClassification|CompletionOnly)"
_NOTHING = re.compile(r"(?!)")
_MASKED = re.compile(r"-100\b|loss_mask|label_mask")
_PADDED = re.compile(_PADDING + _COLLATORS)
_RAGGED = re.compile(_PADDING + _COLLATORS + r"|ignore_index|ignore_idx|IGNORE_INDEX|padding\s*=")
# What makes all counts equal, unless the file also says this, and how to put it.
_SIGNS = (
    (r"^[A-Z_]*ACCUM[A-Z_]*\s*=\s*1\s*$", _NOTHING, "its accumulation steps are 1"),
    (r"\bgroup_texts\b", _NOTHING, "group_texts() cuts blocks of one size"),
    (r"\bConstantLengthDataset\b", _NOTHING, "ConstantLengthDataset yields blocks of one size"),
    (r"padding\s*=\s*[\"']max_length", _MASKED, "rows are padded to one length, and pads are counted"),
    (r"torch\.stack\([^\n]*block_size", _PADDED, "get_batch() stacks blocks of one size"),
    (
        r"=\s*[\w.]+\[\s*([\w.]+)\s*:\s*\1\s*\+[^\]\n]*\+\s*1\s*\]",
        _PADDED,
        "blocks of one size are cut out of one stream of tokens",
    ),
    (r"\.view\(\s*(?:self\.)?B\s*,\s*(?:self\.)?T\s*\)", _RAGGED, "batches are views of (B, T)"),
    (r"\bget_batch\s*\([^)]*\)", _RAGGED, "get_batch() returns full blocks"),
    (r"\[:,\s*0\s*:\s*[\w.]*(?:max_seq_length|block_size)\]", _RAGGED, "rows are cut at one length"),
)


def equal_counts(text: str) -> str | None:
    """Why all counts are equal, or None when they can differ or nothing is known."""
    for sign, unless, reason in _SIGNS:
        if re.search(sign, text, re.MULTILINE) and not unless.search(text):
            return reason
    return None


_SETS_APART = re.compile(r"label|mask|pad|ignore|-100|weight", re.IGNORECASE)
_IDS = frozenset({"input_ids", "ids", "tokens", "input", "text", "inputs"})


def only_ids(nodes: Sequence[ast.AST]) -> str | None:
    """A loop that takes nothing but token ids from its batches trains on every position: rows have one length, or
    pads are targets like all others, and in both cases their number does not depend on the labels."""
    keys: set[str] = set()
    for node in (each for root in nodes for each in ast.walk(root)):
        if isinstance(node, ast.keyword) and node.arg is None:
            return None
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.ctx, ast.Load):
            keys.add(str(node.slice.value))
    if not keys & _IDS or any(re.search("length|prompt|answer", key) for key in keys):
        return None
    if any(_SETS_APART.search(ast.unparse(root)) for root in nodes):
        return None
    return "its targets are the token ids themselves, every position of them"
