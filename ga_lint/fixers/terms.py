"""Is the loss a plain sum over targets, so that one division by the count is the whole truth?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.added_up import is_added_up
from ga_lint.fixers.arithmetic import as_factor
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.readers import note_told
from ga_lint.fixers.signature import COUNT, parameter_name
from ga_lint.fixers.summands import first_unseen
from ga_lint.fixers.tree import Statement, Tree, dotted
from ga_lint.source import Position, Span

STEPS = "current_gradient_accumulation_steps"  # the window's length, a last shorter one included


class Addition(Struct, frozen=True):
    """A term that is added to the loss: in a sum, or by `+=`."""

    where: cst.CSTNode
    term: cst.BaseExpression


def divide_other_terms(
    edits: Edits,
    function: cst.FunctionDef,
    start: Position,
    losses: list[str],
    steps: str,
    count: str = COUNT,
    *,
    added: Sequence[Span] = (),
) -> bool:
    """From `start` on, divide what is added to the loss by the number of micro-batches. Was there anything?

    `added`: where something is known to be added, and so has to be found.

    A mean of its own (a penalty, a router's loss) belongs to one forward: without the division its coefficient would
    be as many times too large as there are micro-batches, since the Trainer divides nothing where it passes a count.
    """
    additions = list(_additions(edits.tree, function, start, losses))
    _refuse_unseen(edits.tree, additions, added)
    if not additions:
        return False
    tree = edits.tree
    for addition in additions:
        if COUNT in names_in(addition.term) or "accumulation_steps" in tree.code(addition.term):
            row = tree.span_of(addition.term).start.row
            raise FixNotApplicable(f"the loss gets another term on line {row}, which is scaled already")
    name = fresh_name(tree, function.body, "steps", "window_steps")
    owner, model = parameter_name(function, 0), parameter_name(function, 1)
    for addition in additions:
        edits.change(addition.term, lambda term: cst.BinaryOperation(as_factor(term), cst.Divide(), cst.Name(name)))
    first = common_statement(tree, function, [addition.where for addition in additions])
    edits.insert_before(first, _steps_lines(tree, first, name, f"{owner}.{steps}", f"{model}.training and {count}"))
    note_told(edits, function, dict(_sums(tree, additions)))
    return True


def _steps_lines(tree: Tree, first: Statement, name: str, steps: str, counted: str) -> str:
    """The number of micro-batches where there is a count, and 1 where there is none."""
    parts = (steps, f"if {counted} is not None", "else 1")
    value, column = " ".join(parts), tree.span_of(first).start.column
    if column + len(f"{name} = {value}") > MAX_WIDTH:
        wide = column + 4 + len(value) > MAX_WIDTH
        value = "(\n    {}\n)".format("\n    ".join(parts) if wide else value)
    return f"# the Trainer divides no term of a loss that it passes a count for\n{name} = {value}\n"


def _sums(tree: Tree, additions: Sequence[Addition]) -> Iterator[tuple[str, Position]]:
    """The names of the sums, and from where on they stand for them; the first place of each counts."""
    for addition in reversed(additions):
        statement = tree.statement_of(addition.where).body[0]
        for each in bindings_in(tree, statement):
            if (name := dotted(each.target)) is not None:
                yield name, tree.span_of(statement).end


def uses(tree: Tree, value: cst.CSTNode) -> list[str]:
    """The texts that stand for a loss: the expression itself and the name that it is bound to, alone or with others."""
    if isinstance(value, cst.AugAssign):
        return [tree.code(value.target)]
    match tree.parent(value):
        case (
            cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])
            | cst.AnnAssign(target=cst.Name(value=name))
        ):
            return [tree.code(value), name]
        case cst.Assign(
            targets=[cst.AssignTarget(target=cst.Tuple(elements=[cst.Element(value=cst.Name(value=name)), *_]))]
        ):
            return [tree.code(value), name]
        case _:
            return [tree.code(value)]


def _refuse_unseen(tree: Tree, additions: Sequence[Addition], added: Sequence[Span]) -> None:
    unseen = first_unseen(tree, added, [each.where for each in additions])
    if unseen is not None:
        raise FixNotApplicable(f"the loss gets another term on line {unseen.start.row}, in a form that is not known")


def refuse_other_terms(
    tree: Tree, function: cst.FunctionDef, start: Position, losses: list[str], added: Sequence[Span] = ()
) -> None:
    """From `start` on, is something added to the losses? Another term needs a divisor of its own."""
    _refuse_unseen(tree, (), added)
    for addition in _additions(tree, function, start, losses):
        row = tree.span_of(addition.where).start.row
        raise FixNotApplicable(f"the loss gets another term on line {row}, which needs a divisor of its own")


def _additions(tree: Tree, function: cst.FunctionDef, start: Position, losses: list[str]) -> Iterator[Addition]:
    """Every term beside the loss, in the order of the text; the loss may take other names on the way."""
    known = set(losses)
    found: list[Addition] = []

    def holds(node: cst.CSTNode) -> bool:
        """The loss itself, a product of it, or a sum that it is a part of."""
        match node:
            case cst.BinaryOperation(operator=cst.Multiply() | cst.Divide() | cst.Add() | cst.Subtract()):
                return tree.code(node) in known or holds(node.left) or holds(node.right)
        return tree.code(node) in known

    class Sums(cst.CSTVisitor):
        def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
            return node is function

        def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
            if not isinstance(node.operator, cst.Add | cst.Subtract) or tree.span_of(node).end < start:
                return
            left, right = holds(node.left), holds(node.right)
            if left is not right:
                found.append(Addition(node, node.right if left else node.left))

        def visit_AugAssign(self, node: cst.AugAssign) -> None:
            adds = isinstance(node.operator, cst.AddAssign | cst.SubtractAssign)
            if adds and tree.span_of(node).end >= start and holds(node.target):
                found.append(Addition(node, node.value))

        def leave_Assign(self, original_node: cst.Assign) -> None:
            known.update(_names_of_loss(tree, original_node.targets[0].target, original_node.value, known))

        def leave_AnnAssign(self, original_node: cst.AnnAssign) -> None:
            if original_node.value is not None:
                known.update(_names_of_loss(tree, original_node.target, original_node.value, known))

    function.visit(Sums())
    yield from sorted(found, key=lambda addition: tree.span_of(addition.term))


def _names_of_loss(tree: Tree, target: cst.BaseExpression, value: cst.BaseExpression, known: set[str]) -> Iterator[str]:
    """`loss` after `loss, outputs = result if return_outputs else (result, None)`, for a known `result`."""
    first = target.elements[0].value if isinstance(target, cst.Tuple | cst.List) else target
    if isinstance(first, cst.Name) and any(tree.code(part) in known for part in _parts(value)):
        yield first.value


def _parts(value: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """What an expression may stand for: either side of a conditional, the first of a pair, a factor, a summand."""
    yield value
    match value:
        case cst.IfExp(body=one, orelse=other):
            yield from _parts(one)
            yield from _parts(other)
        case cst.Tuple(elements=[cst.Element(value=first), *_]):
            yield from _parts(first)
        case cst.Subscript(value=base, slice=[cst.SubscriptElement(slice=cst.Index(value=cst.Integer(value="0")))]):
            yield from _parts(base)
        case cst.BinaryOperation(left=left, right=right):
            yield from _parts(left)
            yield from _parts(right)
        case _:
            pass


def common_statement(tree: Tree, function: cst.FunctionDef, places: Sequence[cst.CSTNode]) -> Statement:
    """The innermost statement that comes before all of these places whichever way they are reached."""
    chains = [[place, *tree.around(place)] for place in places]
    for block in takewhile(lambda outer: outer is not function, chains[0]):
        if isinstance(block, cst.IndentedBlock) and all(block in chain for chain in chains):
            inside = [line for line in block.body if any(line in chain for chain in chains)]
            assert isinstance(inside[0], Statement)
            return inside[0]
    raise FixNotApplicable(f"{function.name.value} has its body on the line of its head")


def refuse_sums(tree: Tree, body: cst.CSTNode, loss: cst.BaseExpression, added: Sequence[Span]) -> None:
    """Is the loss a sum of terms, or is something `added` to it? One weight cannot be right for all of them."""
    name = tree.code(loss)

    class Sums(cst.CSTVisitor):
        def visit_Assign(self, node: cst.Assign) -> None:
            if any(tree.code(target.target) == name for target in node.targets):
                self.look(node.value)

        def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
            if tree.code(node.target) == name and node.value is not None:
                self.look(node.value)

        def visit_AugAssign(self, node: cst.AugAssign) -> None:
            if tree.code(node.target) == name and isinstance(node.operator, cst.AddAssign | cst.SubtractAssign):
                self.refuse(node)

        def look(self, value: cst.BaseExpression) -> None:
            adds = isinstance(value, cst.BinaryOperation) and isinstance(value.operator, cst.Add | cst.Subtract)
            if adds or is_added_up(value):
                self.refuse(value)

        def refuse(self, node: cst.CSTNode) -> None:
            row = tree.span_of(node).start.row
            raise FixNotApplicable(f"the loss is a sum of terms on line {row}; each needs a divisor of its own")

    sums = Sums()
    body.visit(sums)
    sums.look(loss)
    _refuse_unseen(tree, (), added)
