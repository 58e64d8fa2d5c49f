"""Can this loop run on several ranks, and who averages its gradients there?"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRAPPERS = (
    (r"\bDistributedDataParallel\b|\bDDP\(", "DistributedDataParallel"),
    (r"\bFullyShardedDataParallel\b|\bFSDP\(|\bfully_shard\(|set_requires_gradient_sync", "FSDP"),
    (r"\bno_sync\(|require_backward_grad_sync", "DistributedDataParallel"),
)
# The role of a loop's object, and what the file then speaks of too: a role alone may be guessed.
_LIBRARIES = {"accelerator": ("accelerate", "accelerat"), "fabric": ("Fabric", "fabric"), "engine": ("DeepSpeed", "")}
SPEAKS_OF_RANKS = re.compile(
    r"\btorch\.distributed\b|from torch import distributed|\binit_process_group\b|\bdist\.all_"
)
# `dist.all_reduce(p.grad)`, `average_gradients(model)`: the loop does what a wrapper would do.
AVERAGED_BY_HAND = re.compile(
    r"all_reduce\([^)\n]*grad|(average|sync|all_?reduce|reduce)_?(model_)?grad\w*\(", re.IGNORECASE
)


# FSDP that is told to divide by nothing: the count over all ranks is then the whole divisor.
_ADDS = re.compile(r"set_(gradient|reduce_scatter)_divide_factor\(\s*(\w+\s*=\s*)?1(\.0*)?\s*\)|fsdp_gradient_division")


@dataclass(frozen=True)
class Distribution:
    """`told` is how the report names the stack; `takes`: what a wrapper does in backward, "mean" or "sum"."""

    told: str
    takes: str | None


LIGHTNING = Distribution("Lightning averages the gradients", "mean")


def distribution(text: str, roles: frozenset[str]) -> Distribution | None:
    """What the file says, and which libraries the loop uses; None for code of a single process."""
    for role, (library, word) in _LIBRARIES.items():
        if role in roles and word in text.lower():
            return Distribution(f"{library} averages the gradients", None if role == "engine" else "mean")
    if _ADDS.search(text):
        return Distribution("the wrapper is told to add up the gradients", "sum")
    for pattern, name in _WRAPPERS:
        if re.search(pattern, text):
            return Distribution(f"{name} averages the gradients", "mean")
    if not SPEAKS_OF_RANKS.search(text):
        return None
    if AVERAGED_BY_HAND.search(text):
        return Distribution("the loop averages the gradients itself", None)
    return Distribution("the model is assumed to be wrapped, so that gradients are averaged", "mean")
