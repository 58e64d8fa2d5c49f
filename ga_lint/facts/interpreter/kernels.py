"""What does a cross-entropy of the project's own kernel give? `_VocabParallelCrossEntropy.apply(logits, target)`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model import Level, LossSite, Reduction
from ga_lint.facts.values import UNKNOWN, Class, Elements, Tensor, TensorKind, Value
from ga_lint.syntax.parameters import positional_names
from ga_lint.syntax.parsed import FunctionNode
from ga_lint.syntax.text import text_of
from ga_lint.syntax.walk import walk

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

_NAME = re.compile(r"cross_?entropy", re.IGNORECASE)
_TARGETS = re.compile(r"target|label", re.IGNORECASE)


def loss_of(call: Call, cls: Class) -> Value:
    """One loss for each target, as such kernels give; nothing of one that puts them together, or may."""
    found = call.run.names.method(cls, "forward")
    if found is None or not _NAME.search(cls.node.name) or _reduces(found[1]):
        return UNKNOWN
    names = positional_names(found[1])[1:]  # the first is the context
    given = dict(zip(names, call.positional, strict=False))
    nodes = dict(zip(names, call.written, strict=False))
    name = next((name for name in names if _TARGETS.search(name) and name in nodes), None)
    if name is None:
        return UNKNOWN
    place, targets = call.run.place(call.frame, call.node), given[name]
    known = targets if isinstance(targets, Tensor) else Tensor(TensorKind.OTHER)
    tensors = [one for one in given.values() if isinstance(one, Tensor)]
    over_vocabulary = "vocab" in cls.node.name.lower() or any(one.flat or one.shifted for one in tensors)
    site = LossSite(
        cls.node.name,
        Reduction.NONE,
        Level.TOKEN if over_vocabulary else Level.UNKNOWN,
        place,
        place,
        Confidence.LIKELY,
        labels=text_of(nodes[name]),
        labels_from=known.origin,
        labels_remade=known.remade,
        shifted=any(one.shifted for one in tensors) or None,
        ragged=known.ragged,
        named_labels=known.kind is TensorKind.LABELS and known.from_batch,
        scope=call.frame.name,
        depth=len(call.frame.loops),
        targets=known.picked,
    )
    return Elements(replace(site))


def _reduces(forward: FunctionNode) -> bool:
    """Does it put the losses together, or is it told to? `reduction`, `loss.mean()`, a weight matrix for the logits."""
    names = positional_names(forward)
    if any("reduc" in name or name in ("weight", "lin_weight", "lm_head_weight") for name in names):
        return True
    for node in walk(forward):
        match node:
            case ast.Call(func=ast.Attribute(attr="mean" | "sum"), args=[], keywords=[]):
                return True
    return False
