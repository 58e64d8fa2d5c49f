"""What does the condition for an optimizer step say on small numbers?"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator

import libcst as cst
from msgspec import Struct, field

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.header import Header
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.source import Position

Value = int | bool


class _Counter(Struct):
    """A name that the loop counts up itself: `it += 1`, and `it = 0` after a step.

    `start` is None where it goes on from what it was before the loop.
    """

    start: int | None
    before_gate: bool
    reset: int | None
    raised: Position  # where it is counted up
    value: int = 0


class Reader(Struct):
    """The conditions between the loop and the optimizer step, and how to evaluate them."""

    tree: Tree
    header: Header
    step: cst.Call
    steps: tuple[str, ...]
    tests: list[tuple[ast.expr, bool]] = field(default_factory=list)  # and how each comes out at the step
    _counters: dict[str, _Counter] = field(default_factory=dict)
    _known: dict[str, Value] = field(default_factory=dict)
    _origin: int = 0
    _origins: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        inner: cst.CSTNode = self.step
        for outer in self.tree.around(self.step):
            if outer is self.header.loop:
                break
            if isinstance(outer, cst.For | cst.While | cst.FunctionDef):
                raise FixNotApplicable("the optimizer steps outside the loop or in an inner one")
            if isinstance(outer, cst.If):
                self.tests.append((self.expression(outer.test), inner is not outer.orelse))
            if isinstance(outer, cst.IndentedBlock):
                self.tests.extend((test, False) for test in self._left_by_continue(outer, inner))
            inner = outer
        else:
            raise FixNotApplicable("the optimizer steps outside the loop")
        if not self.tests:
            raise FixNotApplicable("the optimizer steps after every micro-batch")

    def _left_by_continue(self, block: cst.IndentedBlock, statement: cst.CSTNode) -> Iterator[ast.expr]:
        """The conditions of `if ...: continue` above the statement: below them they do not hold."""
        for line in block.body:
            if line is statement:
                return
            if isinstance(line, cst.If) and line.orelse is None and "continue" in self.tree.code(line.body):
                yield self.expression(line.test)

    def origin(self, size: int) -> str | None:
        """What the gate counts on from, as the loop's head would write it; None where that is the first batch."""
        self.ends(size, 2 * size, 0)
        if len(self._origins) > 1:
            raise FixNotApplicable(f"the optimizer step waits for counts from {' and '.join(sorted(self._origins))}")
        return next(iter(self._origins), None)

    def ends(self, size: int, length: int, origin: int = 0) -> list[int]:
        """The indices after which the optimizer steps, for windows of `size` over `length` batches.

        `origin`: the count at the loop's head, where it goes on from an earlier one.
        """
        self._known = {ast.unparse(ast.parse(text, mode="eval").body): size for text in self.steps}
        for loader in self.header.loader_names:
            self._known[f"len({loader})"] = length
        self._counters = {}
        self._origin = origin
        start = self.header.start
        if not start.isdecimal():
            self._known[start] = origin
            self._known.update(_solved(start, origin))
        found = []
        for index in range(length):
            if self.header.index is not None:
                self._known[self.header.index] = (int(start) if start.isdecimal() else origin) + index
            self._count(before_gate=True)
            if all(bool(self._evaluate(test)) is wanted for test, wanted in self.tests):
                found.append(index)
                for counter in self._counters.values():
                    counter.value = counter.value if counter.reset is None else counter.reset
            self._count(before_gate=False)
        return found

    def index_at(self, place: Position) -> tuple[str, int]:
        """A name that counts the loader's micro-batches, and what it is for the first of them at `place`."""
        if self.header.index is not None and self.header.start.isdecimal():
            return self.header.index, int(self.header.start)
        self.ends(3, 7)
        for name, counter in self._counters.items():
            if counter.start is not None and counter.reset is None:
                return name, counter.start + (counter.raised < place)
        raise FixNotApplicable("nothing in the loop counts the loader's micro-batches from the first one on")

    def _count(self, before_gate: bool) -> None:
        for counter in self._counters.values():
            counter.value += counter.before_gate is before_gate

    def _evaluate(self, node: ast.expr) -> Value:
        text = ast.unparse(node)
        if text in self._known:
            if text == self.header.index and not self.header.start.isdecimal():
                self._origins.add(self.header.start)
            return self._known[text]
        match node:
            case ast.Constant(value=bool() | int() as value):
                return value
            case ast.BoolOp(op=ast.And(), values=values):
                return all(bool(self._evaluate(value)) for value in values)
            case ast.BoolOp(op=ast.Or(), values=values):
                return any(bool(self._evaluate(value)) for value in values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._evaluate(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                divisor = int(self._evaluate(right))
                if divisor == 0 and not isinstance(op, ast.Add | ast.Sub | ast.Mult):
                    raise FixNotApplicable(f"the condition for the optimizer step divides by zero in {text}")
                return _ARITHMETIC[type(op)](int(self._evaluate(left)), divisor)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                return _COMPARISONS[type(op)](self._evaluate(left), self._evaluate(right))
            case ast.Name(id=name):
                return self._name(name)
        raise FixNotApplicable(f"the condition for the optimizer step reads {text}")

    def _name(self, name: str) -> Value:
        if name in self._counters:
            return self._counters[name].value
        counter = self._counter(name)
        if counter is not None:
            if counter.start is None:
                self._origins.add(f"{name} + 1" if counter.before_gate else name)
                counter.value = self._origin
            else:
                counter.value = counter.start + counter.before_gate
            self._counters[name] = counter
            return counter.value
        values = [value for value, _ in assignments_of(self.scope(), name)]
        if len(values) != 1:
            raise FixNotApplicable(f"the condition for the optimizer step reads {name}")
        return self._evaluate(self.expression(values[0]))

    def scope(self) -> cst.CSTNode:
        return self.tree.scope_of(self.header.loop)

    def _counter(self, name: str) -> _Counter | None:
        """`name` if the loop's own body counts it up by one, started right before the loop or run only once."""
        loop = self.header.loop
        ups = [line for line in loop.body.body if _counts_up(line, name)]
        if not ups:
            return None
        if len(ups) > 1:
            raise FixNotApplicable(f"{name} is counted up in several places")
        starts: list[tuple[cst.BaseExpression, cst.Assign]] = []
        resets: list[tuple[cst.BaseExpression, cst.Assign]] = []
        for value, where in assignments_of(self.scope(), name):
            inside = any(outer is loop for outer in self.tree.around(where))
            (resets if inside else starts).append((value, where))
        if len(starts) != 1 or len(resets) > 1 or not all(isinstance(v, cst.Integer) for v, _ in resets):
            raise FixNotApplicable(f"where {name} starts is not known")
        start, where = starts[0]
        fresh = self.tree.parent(self.tree.statement_of(where)) is self.tree.parent(loop)
        if not fresh and self.tree.enclosing(loop, cst.For, cst.While) is not None:
            raise FixNotApplicable(f"{name} runs on across epochs, so a window can reach over the end of the loader")
        before = self.tree.span_of(ups[0]).start < self.tree.span_of(self.step).start
        reset = int(self.tree.code(resets[0][0])) if resets else None
        known = int(self.tree.code(start)) if isinstance(start, cst.Integer) else None
        return _Counter(known, before, reset, self.tree.span_of(ups[0]).start)

    def expression(self, node: cst.BaseExpression) -> ast.expr:
        return ast.parse(f"({self.tree.code(node)})", mode="eval").body


def _solved(text: str, origin: int) -> dict[str, Value]:
    """What `done` is where `done + 1` is the origin: a gate may read it by itself."""
    match ast.parse(text, mode="eval").body:
        case ast.BinOp(left=ast.Name() | ast.Attribute() as left, op=ast.Add(), right=ast.Constant(value=int() as one)):
            return {ast.unparse(left): origin - one}
        case _:
            return {}


def _counts_up(line: cst.CSTNode, name: str) -> bool:
    match line:
        case cst.SimpleStatementLine(
            body=[cst.AugAssign(target=cst.Name(value=target), operator=cst.AddAssign(), value=cst.Integer(value="1"))]
        ):
            return target == name
        case _:
            return False


def assignments_of(scope: cst.CSTNode, name: str) -> Iterator[tuple[cst.BaseExpression, cst.Assign]]:
    """Every `name = value` in the function."""
    found: list[tuple[cst.BaseExpression, cst.Assign]] = []

    class Assignments(cst.CSTVisitor):
        def visit_Assign(self, node: cst.Assign) -> None:
            if any(dotted(target.target) == name for target in node.targets):
                found.append((node.value, node))

    scope.visit(Assignments())
    yield from found


_ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
