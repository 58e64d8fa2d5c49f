"""The loss is multiplied by the ranks where the Trainer does that already: take the factor away (GA205).

Places: `product`, the `x * n` expression or the `x *= n` statement. Option: `factor`, the text of `n`.

`loss = loss * n` would become `loss = loss` and goes as a line, together with an `if` that holds nothing else.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer


@fixer("drop-factor")
def drop_factor(target: Target, edits: Edits) -> None:
    tree = target.tree
    product = tree.find(target.span("product"), cst.BinaryOperation, cst.AugAssign)
    factor = target.option("factor").strip("()")
    if not isinstance(product, cst.BinaryOperation):
        edits.remove(product)
        return
    sides = [product.left, product.right] if isinstance(product.operator, cst.Multiply) else []
    kept = [side for side in sides if tree.code(side).strip("()") != factor]
    if len(kept) != 1:
        raise FixNotApplicable("the product is written in a form that is not known here")
    assign = tree.parent(product)
    if isinstance(assign, cst.Assign) and tree.code(assign.targets[0].target) == tree.code(kept[0]):
        edits.remove(assign)
    else:
        edits.replace(product, tree.code(kept[0]))
