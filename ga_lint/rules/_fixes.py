"""Which rewrite suits a loop? The request that a fixer gets, or the reason why there is none."""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest
from ga_lint.rules._loops import Loss


def window_fix(loss: Loss) -> tuple[FixRequest | None, str | None]:
    """The request for a share of the window or for a sum over its count."""
    return None, "no rewrite is offered for this shape of loop yet"
