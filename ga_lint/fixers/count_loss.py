"""An override computes its own token cross-entropy: divide its sum by the count the Trainer passes (GA201, GA202).

Places: `call`, the loss call (`F.cross_entropy(...)`, `nn.CrossEntropyLoss(...)(...)`, `loss_fct(...)`), or `mean`, the
division of a hand-written masked mean (`(l * mask).sum() / mask.sum()`) or the `.mean()` of the losses that a mask
selects, or `picked`, the mean of losses all of which are targets'; once for each branch that computes one.
`constructor`: where the loss object was built, for `loss_fct(...)`. `handed`: the call of a helper that returns such a
mean; `handed in a pair` where that is the first of what it returns.
Options: `targets` and `ignore_index`, as the loss receives them; needed only where the object is built outside the
method, since then its reduction is not ours to choose. `divisor on line N`: the number of targets that the helper which
is called there divides by. `steps` (see `terms`). `alone`: what the loss is added to is divided by the count already.

Measured text (exact to 2.5e-7 in float32, one and two ranks): the mean stays where there is no count; otherwise the sum
is divided by it and multiplied by the ranks, since the Trainer's own multiplication is bypassed. A helper stays as it
is, whoever else calls it: its mean times its own count is the sum.
"""

from __future__ import annotations

from ga_lint.fixers.counted_means import divide_all
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.terms import STEPS, divide_other_terms


@fixer("count-loss")
def count_loss(target: Target, edits: Edits) -> None:
    plan = divide_all(target, edits, ranks=True)
    if target.option_or("alone", ""):  # what it is added to is divided already
        return
    steps = target.option_or("steps", STEPS)
    divide_other_terms(
        edits, plan.function, min(plan.bound.values()), list(plan.bound), steps, added=target.spans("added")
    )
