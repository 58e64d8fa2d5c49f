"""Can this loop run on several ranks, and who averages its gradients there?"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRAPPERS = (
    (r"\bDistributedDataParallel\b|\bDDP\(", "DistributedDataParallel"),
    (r"\bFullyShardedDataParallel\b|\bFSDP\(|\bfully_shard\(|set_requires_gradient_sync", "FSDP"),
    (r"\bno_sync\(|require_backward_grad_sync", "DistributedDataParallel"),
)
_LIBRARIES = {"accelerator": "accelerate", "fabric": "Fabric", "engine": "DeepSpeed"}
_DISTRIBUTED = re.compile(r"\btorch\.distributed\b|from torch import distributed|\binit_process_group\b|\bdist\.all_")
# `dist.all_reduce(p.grad)`, `average_gradients(model)`: the loop does what a wrapper would do.
_BY_HAND = re.compile(r"all_reduce\([^)\n]*grad|(average|sync|all_?reduce|reduce)_?(model_)?grad\w*\(", re.I)


@dataclass(frozen=True)
class Distribution:
    """`told` is how the report names the stack; `averages`: a wrapper averages gradients in backward."""

    told: str
    averages: bool


def distribution(text: str, roles: frozenset[str]) -> Distribution | None:
    """What the file says, and which libraries the loop uses; None for code of a single process."""
    for role, library in _LIBRARIES.items():
        if role in roles:
            return Distribution(f"{library} averages the gradients", averages=role != "engine")
    for pattern, name in _WRAPPERS:
        if re.search(pattern, text):
            return Distribution(f"{name} averages the gradients", averages=True)
    if not _DISTRIBUTED.search(text):
        return None
    if _BY_HAND.search(text):
        return Distribution("the loop averages the gradients itself", averages=False)
    return Distribution("the model is assumed to be wrapped, so that gradients are averaged", averages=True)
