"""The count divides, but nobody multiplies by the ranks that the stack averages over (GA204).

Places: `division`, the `x / count` expression or `x /= count` statement, once for each division (several are fine);
`handed`, the call of a helper that returns the loss divided.
Options: none.

The factor follows the division as a statement of its own where the division is one, or where the whole `return` uses
only the divided value; inside a larger expression it becomes a factor of that expression.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, division_of
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.named_loss import bind
from ga_lint.fixers.names import names_in, occurrences
from ga_lint.fixers.readers import TIMES_RANKS, note_told, place_behind_told
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, parameter_name, parameters
from ga_lint.fixers.tree import Tree, dotted


@fixer("rank-factor")
def rank_factor(target: Target, edits: Edits) -> None:
    tree = target.tree
    kinds = (cst.BinaryOperation, cst.AugAssign, cst.Call)
    try:
        divisions = [division_of(tree.find(span, *kinds)) for span in target.spans("division")]
    except FixNotApplicable:
        raise FixNotApplicable("the division itself stands in a helper that others may call") from None
    for span in target.spans("handed"):
        _multiply_handed(edits, tree.find(span, cst.Call))
    for division in divisions:
        _refuse_other_counts(tree, tree.function_of(division.whole))
    hoisted: set[cst.CSTNode] = set()
    for division in divisions:
        self_name = parameter_name(tree.function_of(division.whole), 0)
        name = _divided_name(tree, division)
        if name is not None:
            _multiply_behind(edits, division, name, self_name)
            continue
        line = _returned_only_divided(tree, division, divisions)
        if line is None:
            _multiply_in_place(edits, division, self_name)
        elif line not in hoisted:
            hoisted.add(line)
            text = f"{tree.code(division.left)} = {_bare_code(tree, division.whole)}\n"
            edits.insert_before(line, text + _block(self_name, tree.code(division.left), _guard(tree, division)))
        if line is not None:
            edits.replace(_expression(division), tree.code(division.left))


def _multiply_behind(edits: Edits, division: Division, name: str, self_name: str) -> None:
    """Below the lines that tell the loss, where they stand right behind the division."""
    tree = edits.tree
    place = place_behind_told(tree, tree.statement_of(division.whole), name, {COUNT})
    edits.insert_after(place, _block(self_name, name, _guard(tree, division)))
    note_told(edits, tree.function_of(division.whole), {name: tree.span_of(place).end}, TIMES_RANKS)


def _multiply_handed(edits: Edits, call: cst.Call) -> None:
    """Behind `loss = helper(..., num_items_in_batch)`; without a count the helper takes its own mean."""
    tree = edits.tree
    function = tree.function_of(call)
    _refuse_other_counts(tree, function)
    if COUNT not in {param.name.value for param in parameters(function)}:
        raise FixNotApplicable("the count is no parameter, so when the helper divides by it is not known")
    line, loss, tail = bind(edits, call)
    factor = _block(parameter_name(function, 0), loss, f"{COUNT} is not None and ")
    edits.insert_after(line, f"{factor}{tail}")


def _refuse_other_counts(tree: Tree, function: cst.FunctionDef) -> None:
    """`if num_items_in_batch is None: num_items_in_batch = mask.sum()`: a count of this rank owes no factor."""
    for each in bindings_in(tree, function.body):
        if dotted(each.target) == COUNT and each.value is not None and COUNT not in names_in(each.value):
            row = tree.span_of(each.target).start.row
            raise FixNotApplicable(f"{COUNT} becomes another count on line {row}, which owes no factor")


def _divided_name(tree: Tree, division: Division) -> str | None:
    """`loss` when the whole statement is `loss = x / n`, `loss /= n` or `loss.div_(n)`."""
    statement = tree.parent(division.whole)
    match statement:
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value) if (
            value is division.whole
        ):
            return name
        case cst.AnnAssign(target=cst.Name(value=name), value=value) if value is division.whole:
            return name
        case _:
            pass
    if division.in_place and isinstance(division.left, cst.Name):
        return division.left.value
    return None


def _returned_only_divided(tree: Tree, division: Division, divisions: list[Division]) -> cst.SimpleStatementLine | None:
    """The line of a `return` in which the name occurs only inside these divisions by the same count."""
    line = tree.statement_of(division.whole)
    if not isinstance(line.body[0], cst.Return) or not isinstance(division.left, cst.Name) or division.in_place:
        return None
    same = [d for d in divisions if _bare_code(tree, d.whole) == _bare_code(tree, division.whole)]
    inside = sum(1 for d in same if tree.span_of(line).contains(tree.span_of(d.whole)))
    return line if occurrences(line, division.left.value) == inside else None


def _multiply_in_place(edits: Edits, division: Division, self_name: str) -> None:
    whole = _expression(division)
    factor = f"({self_name}.accelerator.num_processes if {self_name}.args.average_tokens_across_devices else 1)"
    product = f"{_bare_code(edits.tree, whole)} * {factor}"
    edits.replace(whole, f"({product})" if whole.lpar else product)


def _expression(division: Division) -> cst.BinaryOperation | cst.Call:
    assert not isinstance(division.whole, cst.AugAssign)  # a statement of its own, dealt with before
    return division.whole


def _bare_code(tree: Tree, node: cst.CSTNode) -> str:
    if isinstance(node, cst.BaseExpression):
        node = node.with_changes(lpar=[], rpar=[])
    return tree.code(node)


def _guard(tree: Tree, division: Division) -> str:
    """A divisor that is the count only sometimes (`count or mask.sum()`) owes the factor only then."""
    choices = [*tree.inside(division.right, cst.IfExp), *tree.inside(division.right, cst.BooleanOperation)]
    if COUNT in names_in(division.right) and not choices:
        return ""
    if COUNT not in {param.name.value for param in parameters(tree.function_of(division.whole))}:
        raise FixNotApplicable("the count is no parameter, so when it divides is not known")
    return f"{COUNT} is not None and "


def _block(self_name: str, name: str, guard: str = "") -> str:
    return (
        f"if {guard}{self_name}.args.average_tokens_across_devices:\n"
        f"    {name} = {name} * {self_name}.accelerator.num_processes\n"
    )
