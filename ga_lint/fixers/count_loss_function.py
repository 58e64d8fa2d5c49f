"""A loss function returns its micro-batch's mean: divide its sum by the count that it is called with (GA206-GA208).

Places and options are those of count_loss, once for each branch that computes a mean. Option: `keywords`, the name of
the `**kwargs` that a model's forward must have for the Trainer to pass the count at all.

Unlike in an override, nothing multiplies by the ranks: the Trainer does that with what comes back.
"""

from __future__ import annotations

from ga_lint.fixers.counted_means import divide_all
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import with_keywords
from ga_lint.fixers.terms import refuse_other_terms


@fixer("count-loss-function")
def count_loss_function(target: Target, edits: Edits) -> None:
    plan = divide_all(target, edits, ranks=False)
    keywords = target.option_or("keywords", "")
    if keywords:
        edits.change(plan.function.params, lambda params: with_keywords(params, keywords))
    losses, start = list(plan.bound), min(plan.bound.values())
    refuse_other_terms(target.tree, plan.function, start, losses, target.spans("added"))
