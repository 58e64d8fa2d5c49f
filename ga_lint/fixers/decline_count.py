"""A model drops the count that the Trainer hands it: say so before the Trainer is built (GA217).

Places: `model`, the argument of the Trainer that is the model. Options: none.

The Trainer reads `accepts_loss_kwargs` once, in its constructor, and divides by the steps itself where it is False.
"""

from __future__ import annotations

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import dotted


@fixer("decline-count")
def decline_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    model = tree.expression(target.span("model"))
    name = dotted(model)
    if name is None:
        raise FixNotApplicable("the model has no name before the Trainer is built")
    edits.insert_before(tree.statement_of(model), f"{name}.accepts_loss_kwargs = False  # its loss drops the count\n")
