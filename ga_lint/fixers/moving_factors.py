"""Is the loss weighed, or is a path chosen, by what the loss or the micro-batch itself gives?

`loss * scale`, where `scale = loss.detach()`, is no multiple of the mean: the shares of such losses do not add up to
that of the window. And a line that compares the divided loss with a number would compare another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.names import names_in
from ga_lint.fixers.readers import is_told
from ga_lint.fixers.signature import COUNT
from ga_lint.fixers.tree import Tree
from ga_lint.source import Position

# What a part answers as the whole does.
_ASKS = re.compile(r"is (not )?None|is(nan|inf|finite)\(|\.requires_grad|\.dim\(|\.ndim|numel\(|\.shape|isinstance\(")


def refuse_moving_factors(
    tree: Tree,
    function: cst.FunctionDef,
    bound: dict[str, Position],
    divided: dict[str, Position],
    values: Sequence[cst.CSTNode] = (),
) -> None:
    """The names of the losses, from where on each is bound and divided by the count; `values`: what they are."""
    losses, numbers = _followed(tree, function, set(divided))
    moving = numbers | losses | _of_batch(tree, function)
    first = min(bound.values())
    for product in tree.inside(function.body, cst.BinaryOperation):
        if isinstance(product.operator, cst.Multiply | cst.Divide | cst.Power):
            for one, other in ((product.left, product.right), (product.right, product.left)):
                behind = tree.span_of(product).start >= first and bool(names_in(one) & losses)
                holds = behind or any(one is each or one in tree.around(each) for each in values)
                if holds and names_in(other) & moving and not is_told(tree, function, product):
                    row = tree.span_of(product).start.row
                    raise FixNotApplicable(f"the loss is weighed on line {row} by what the micro-batch gives")
    start = min(divided.values())
    for test in _tests(tree, function):
        code = tree.code(test)
        if tree.span_of(test).start >= start and names_in(test) & (numbers | losses) and not _ASKS.search(code):
            row = tree.span_of(test).start.row
            raise FixNotApplicable(f"line {row} compares the loss, which would be another number there")


def _tests(tree: Tree, function: cst.FunctionDef) -> Iterator[cst.BaseExpression]:
    yield from (each.test for each in tree.inside(function.body, cst.If))
    yield from (each.test for each in tree.inside(function.body, cst.While))
    yield from (each.test for each in tree.inside(function.body, cst.IfExp))


def _of_batch(tree: Tree, function: cst.FunctionDef) -> set[str]:
    """What the function is handed of the batch and the model, and what it makes of that."""
    named = [*function.params.posonly_params, *function.params.params]
    found = {one.name.value for one in named if one.default is None} - {"self"}
    for one in bindings_in(tree, function.body):
        value = one.node.value if isinstance(one.node, cst.Assign) else one.value
        if not isinstance(one.target, cst.Attribute | cst.Subscript) and value is not None and names_in(value) & found:
            found |= names_in(one.target)
    return found - {COUNT}


def _followed(tree: Tree, function: cst.FunctionDef, losses: set[str]) -> tuple[set[str], set[str]]:
    """What is made of the losses, and the numbers that are made of those without a gradient."""
    made, numbers = set(losses), set[str]()
    bound = [one for one in bindings_in(tree, function.body) if isinstance(one.target, cst.Name)]
    for _ in range(2):  # a name may get its value from one that is bound below, in a loop
        for one in bound:
            assert isinstance(one.target, cst.Name)
            names = [] if one.value is None else tree.inside(one.value, cst.Name)
            used = [name for name in names if name.value in made | numbers]
            if used:
                told = all(name.value in numbers or is_told(tree, function, name) for name in used)
                (numbers if told else made).add(one.target.value)
    return made, numbers - made
