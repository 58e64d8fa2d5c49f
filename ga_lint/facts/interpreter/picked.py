"""Which index picks targets? `targets[targets != -100]`: as many are left as there happen to be."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.interpreter.remade import targets_of
from ga_lint.facts.values import Count, Items, Scale, Symbol, Tensor, TensorKind, Unknown, Value
from ga_lint.syntax.repeatable import SAME_ELEMENTS
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.calls import Call
    from ga_lint.facts.interpreter.paths import Frame

_IGNORING = re.compile(
    r"-\s*100|ignore_?(ind|id)|(attention|attn|target|tgt|input|loss|label|token|pad(ding)?)_?mask|pad_?(token_?)?id|"
    r"(\b|_)(lens|lengths?)\b",
    re.IGNORECASE,
)


# A mask that is called so picks targets, wherever it comes from.
_TARGET_MASK = re.compile(r"(^|[._])(loss|label|target|tgt|answer|response|completion)s?_masks?$", re.IGNORECASE)


def picked_by_mask(run: Interpreter, frame: Frame, base: Value, key: Value, node: ast.Subscript) -> Tensor | None:
    """`targets[targets != -100]`, `logits[loss_mask]`: only the elements that count, as many as there happen to be."""
    keys = key.values if isinstance(key, Items) else (key,)
    masks = [one for one in keys if isinstance(one, Tensor) and one.kind is TensorKind.MASK]
    by_name = _TARGET_MASK.search(_named(node.slice))
    if not (by_name and isinstance(key, Tensor | Unknown | Symbol)) and not any(
        _IGNORING.search(mask.text) for mask in masks
    ):
        return None
    if not isinstance(base, Tensor | Unknown | Symbol):
        return None
    whole = base if isinstance(base, Tensor) else entry(Tensor(TensorKind.OTHER), text_of(node.value))
    place = run.place(frame, node)
    step = place.as_step(f"only positions of `{text_of(node.slice)}` are kept")
    picked = targets_of(masks[0]) if len(masks) == len(keys) == 1 else None
    return replace(whole, flat=True, ragged=(*whole.ragged, step), remade=True, kept=True, picked=picked)


def picks_labelled(call: Call, node: ast.expr | None) -> bool:
    """`labels[mask].float()` where the mask is `labels != -100`: of each row the positions that have a label."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAME_ELEMENTS:
        node = node.func.value
    mask = call.run.evaluate(call.frame, call.state, node.slice) if isinstance(node, ast.Subscript) else None
    return isinstance(mask, Tensor) and mask.kind is TensorKind.MASK and "-100" in mask.text


def are_kept(tensor: Tensor) -> bool:
    """Is it what a mask has picked, one element after the other?"""
    return tensor.flat and tensor.kept


def _named(node: ast.expr) -> str:
    """`label_mask` of `label_mask.view(-1)`; nothing of what has no name."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAME_ELEMENTS:
        node = node.func.value
    return text_of(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def number_of(run: Interpreter, frame: Frame, node: ast.expr, kept: Tensor, text: str) -> Count:
    """`len(labels[mask])`, `labels[mask].shape[0]`: as many as the mask keeps."""
    place = run.place(frame, node)
    return Count(text, Scale.MICRO_BATCH, text=text, depth=len(frame.loops), shifted=kept.shifted, place=place)
