"""Who reads the loss of a Trainer's method, or of a loss function, for no more than a number to be told?

A count makes of a mean the micro-batch's part of the window's mean. So the mean is divided behind the lines that tell
it, where they stand before anything else is made of it; what cannot be arranged so is noted for the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import libcst as cst
from msgspec import Struct

from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in
from ga_lint.fixers.tree import Statement, Tree, dotted
from ga_lint.source import Position

_TELLS = frozenset(
    "print log log_dict log_metric log_metrics info debug warning write set_postfix set_postfix_str set_description "
    "add_scalar add_scalars".split()
)
_NUMBERS = frozenset(("item", "detach", "tolist"))  # methods after which nothing reaches the gradient
_TAKES = frozenset(("pop", "popitem", "clear", "update"))
_TESTS = frozenset(("isnan", "isinf", "isfinite"))  # true of a part when they are of the whole
_KINDS = frozenset(("device", "dtype", "shape", "requires_grad", "backward"))
_SHOWN = 60
PART = "the micro-batch's part of the window's mean"
TIMES_RANKS = "the loss times the number of ranks"
WHOLE = "the micro-batch's whole mean"


class _Reads(Struct, frozen=True):
    told: list[cst.Name]
    used: list[cst.Name]  # for something else: it may reach the gradient


def place_behind_told(tree: Tree, line: cst.SimpleStatementLine, loss: str, needed: set[str]) -> Statement:
    """Where the loss may be divided instead of behind its line: when all that tell it have read it.

    Up to there nothing may use the loss, leave the function or change what is `needed` to divide.
    """
    told = _reads(tree, tree.function_of(line), loss, tree.span_of(line).end).told
    block = list(tree.block_of(line).body)
    behind = block[block.index(line) + 1 :]
    undisturbed = takewhile(lambda each: not _disturbs(tree, each, loss, needed), behind)
    held = [each for each in undisturbed if any(each in tree.around(one) for one in told)]
    last = held[-1] if held else line
    assert isinstance(last, Statement)
    return last


def note_told(edits: Edits, function: cst.FunctionDef, divided: dict[str, Position], shows: str = PART) -> None:
    """Note what goes on to tell a loss, or what was made of it, that is another number from its place on."""
    tree, todo, seen = edits.tree, list(divided.items()), set[str]()
    while todo:
        loss, start = todo.pop(0)
        if loss in seen or not loss.isidentifier():
            continue
        seen.add(loss)
        reads = _reads(tree, function, loss, start)
        for name in reads.told:
            note_shown(edits, name, shows)
        todo += [(target, start) for name in reads.used for target in _targets(tree, name)]


def note_told_at(edits: Edits, function: cst.FunctionDef, losses: Sequence[cst.BaseExpression]) -> None:
    """The same for expressions that are the loss."""
    for loss in losses:
        if is_told(edits.tree, function, loss):
            note_shown(edits, loss)


def note_shown(edits: Edits, read: cst.BaseExpression, shows: str = PART) -> None:
    """Note the line that reads it: the statement, or the head of a block."""
    tree = edits.tree
    code = tree.source.lines[tree.span_of(read).start.row - 1]
    for outer in tree.around(read):
        if isinstance(outer, cst.BaseSmallStatement):
            code = tree.code(outer)
        if isinstance(outer, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            break
    code = " ".join(code.rstrip("; ").split())
    shown = code if len(code) <= _SHOWN else f"{code[:_SHOWN]}..."
    edits.note(f"`{shown}` shows {shows} now")


def _disturbs(tree: Tree, statement: cst.CSTNode, loss: str, needed: set[str]) -> bool:
    if tree.inside(statement, cst.Return):
        return True
    if any((needed | {loss}) & names_in(each.target) for each in bindings_in(tree, statement)):
        return True
    if any(needed & names_in(gone) for gone in tree.inside(statement, cst.Del)):
        return True
    if any(_may_change(call, needed) for call in tree.inside(statement, cst.Call)):
        return True
    reads = _reads(tree, tree.function_of(statement), loss, tree.span_of(statement).start)
    return any(statement in tree.around(name) for name in reads.used)


def _may_change(call: cst.Call, needed: set[str]) -> bool:
    """`targets.clamp_(min=0)`, `inputs.pop("labels")`, or `prepare(targets)`, which may do the same."""
    name = _called(call)
    if isinstance(call.func, cst.Attribute) and (name.endswith("_") or name in _TAKES):
        return bool(needed & names_in(call.func.value))
    handed = {arg.value.value for arg in call.args if isinstance(arg.value, cst.Name)}
    return name not in _TELLS and bool(handed & needed)


def _reads(tree: Tree, function: cst.FunctionDef, loss: str, start: Position, depth: int = 0) -> _Reads:
    """Every read of the name from `start` on that does more than to ask for its kind or to return it."""
    found = _Reads([], [])
    for name in tree.inside(function.body, cst.Name):
        if name.value != loss or tree.span_of(name).start < start or tree.enclosing(name, cst.Return) is not None:
            continue
        if is_value_read(tree, name):
            (found.told if is_told(tree, function, name, depth) else found.used).append(name)
    return found


def is_value_read(tree: Tree, name: cst.Name) -> bool:
    """Does it depend on the number that the name stands for, other than on its being one?"""
    match tree.parent(name):
        case cst.AssignTarget():
            return False
        case cst.AugAssign(target=target) | cst.AnnAssign(target=target) if target is name:
            return False
        case cst.Arg(keyword=keyword) if keyword is name:
            return False
        case cst.Attribute(attr=attr) if attr is name:
            return False
        case cst.Attribute(attr=cst.Name(value=kind)) if kind in _KINDS or kind in _TESTS:
            return False
        case cst.Comparison(comparisons=[cst.ComparisonTarget(operator=cst.Is() | cst.IsNot())]):
            return False
        case cst.Arg():
            call = tree.enclosing(name, cst.Call)
            return call is None or _called(call) not in _TESTS
    return tree.enclosing(name, cst.Del) is None


def is_told(tree: Tree, function: cst.FunctionDef, read: cst.BaseExpression, depth: int = 0) -> bool:
    """Does it become a number, or stand in a line that only tells?"""
    for outer in tree.around(read):
        match outer:
            case cst.Comparison():
                return True
            case cst.Attribute(attr=cst.Name(value=made)) if made in _NUMBERS or made == "data":
                return True
            case cst.Call(func=cst.Name(value="float" | "str")) | cst.FormattedStringExpression():
                return True
            case cst.Expr(value=value):
                value = value.expression if isinstance(value, cst.Await) else value
                return isinstance(value, cst.Call) and _called(value) in _TELLS
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=target))]) if target != tree.code(read):
                reads = _reads(tree, function, target, tree.span_of(outer).end, depth + 1) if depth < 3 else None
                return reads is not None and bool(reads.told) and not reads.used and not _returned(function, target)
            case cst.BaseSmallStatement() | cst.BaseStatement():
                return False
    return False


def _returned(function: cst.FunctionDef, name: str) -> bool:
    class Returns(cst.CSTVisitor):
        found = False

        def visit_Return(self, node: cst.Return) -> None:
            self.found |= node.value is not None and name in names_in(node.value)

    returns = Returns()
    function.body.visit(returns)
    return returns.found


def _targets(tree: Tree, name: cst.Name) -> list[str]:
    """The names that a line makes of it."""
    assign = tree.enclosing(name, cst.Assign)
    return [] if assign is None else [text for each in assign.targets if (text := dotted(each.target)) is not None]


def _called(call: cst.Call) -> str:
    return (dotted(call.func) or (call.func.attr.value if isinstance(call.func, cst.Attribute) else "")).split(".")[-1]
