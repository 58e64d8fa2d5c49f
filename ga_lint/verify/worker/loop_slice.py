"""Which statements make up the loop, and which expression holds its accumulation steps?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ga_lint.verify.worker.sources import Function, Loop, Module, bound_names, dotted, last, statements
from ga_lint.verify.worker.stand_ins import NotVerifiable

STEPS_NAME = "__ga_steps__"
ACCUMULATION = re.compile(
    r"accum|^gas$|micro_?steps|num_micro|update_freq|acc_?steps|acc_?iter|grad_acc|gradient_acc", re.I
)
_BACKWARD = ("backward", "manual_backward")
_STEPS = ("step", "optimizer_step")
_OTHER_PERIODS = re.compile(r"log|save|eval|print|report|epoch|valid|disp|world|tokens?$|count|total|warm", re.I)


@dataclass(frozen=True)
class LoopSlice:
    """The loop to execute and everything of the same file that it calls."""

    loop: ast.stmt
    function: Function | None  # the function that the loop stands in
    owner: ast.ClassDef | None  # the class of that function
    nodes: tuple[ast.AST, ...]  # the loop, and the helpers it reaches


def slice_loop(module: Module, scope: str, row: int | None, order_of: tuple[Module, int] | None) -> LoopSlice:
    """The smallest loop that holds the backward and a step, or the loop that calls the function with the backward."""
    backward = _find_backward(module, scope, row, order_of)
    loops: list[ast.stmt] = []
    node: ast.AST | None = module.parents.get(id(backward))
    while node is not None and not isinstance(node, Function | ast.Lambda):
        if isinstance(node, Loop):
            loops.append(node)
        node = module.parents.get(id(node))
    function = node if isinstance(node, Function) else None
    for number, loop in enumerate(loops):
        if _steps(loop) and not _is_window(loop, loops[number + 1 :]):
            return _sliced(module, loop, function)
    if loops:
        return _sliced(module, loops[-1], function)
    caller = _caller(module, function)
    if caller is None:
        raise NotVerifiable(f"needs the loop around the backward in line {backward.lineno}")
    return caller


def _find_backward(module: Module, scope: str, row: int | None, order_of: tuple[Module, int] | None) -> ast.Call:
    calls = list(_backwards(module.find(scope, row) if scope else module.tree))
    if not calls:
        raise NotVerifiable(f"needs a backward in `{scope or module.path.name}`")
    if row is None and order_of is not None:
        before = [call.lineno for call in _backwards(order_of[0].find(scope) if scope else order_of[0].tree)]
        place = min(range(len(before)), key=lambda n: abs(before[n] - order_of[1]), default=0)
        return calls[min(place, len(calls) - 1)]
    return min(calls, key=lambda call: abs((call.func.end_lineno or call.lineno) - (row or call.lineno)))


def _backwards(scope: ast.AST | None) -> Iterator[ast.Call]:
    if scope is not None:
        found = [n for n in ast.walk(scope) if isinstance(n, ast.Call) and last(_method(n)) in _BACKWARD]
        yield from sorted(found, key=lambda call: (call.lineno, call.col_offset))


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _steps(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Call) and _method(n) in _STEPS for n in ast.walk(node))


def _is_window(loop: ast.stmt, outer: Sequence[ast.stmt]) -> bool:
    """Whether the loop runs over a list that the loop around it has just built: a window that was collected."""
    if not outer or not isinstance(loop, ast.For):
        return False
    read = {n.id for n in ast.walk(loop.iter) if isinstance(n, ast.Name)}
    before = [s for s in statements(outer[0].body) if s.lineno < loop.lineno]  # type: ignore[attr-defined]
    built = {name for s in before if isinstance(s, ast.Assign | ast.AnnAssign) for name in bound_names(s)}
    target = outer[0].target if isinstance(outer[0], ast.For) else None
    built |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)} if target is not None else set()
    return bool(read & built)


def _sliced(module: Module, loop: ast.stmt, function: Function | None) -> LoopSlice:
    owner = module.parents.get(id(function)) if function is not None else None
    owner = owner if isinstance(owner, ast.ClassDef) else None
    return LoopSlice(loop, function, owner, tuple(_reached(module, loop, owner)))


def _caller(module: Module, function: Function | None) -> LoopSlice | None:
    """The loop of this file from which the function is reached."""
    if function is None:
        return None
    for loop in ast.walk(module.tree):
        if isinstance(loop, Loop):
            found = _sliced(module, loop, next(iter(module.functions_around(loop)), None))
            if any(node is function for node in found.nodes):
                return found
    return None


def _reached(module: Module, loop: ast.AST, owner: ast.ClassDef | None) -> Iterator[ast.AST]:
    """The loop, and the functions and methods of this file that it calls, directly or not."""
    methods = {m.name: m for m in owner.body if isinstance(m, Function)} if owner is not None else {}
    seen: set[int] = set()
    todo: list[ast.AST] = [loop]
    while todo:
        node = todo.pop(0)
        yield node
        for call in ast.walk(node):
            if not isinstance(call, ast.Call):
                continue
            name = dotted(call.func) or ""
            target: ast.AST | None = None
            if name.startswith("self."):
                target = methods.get(name.removeprefix("self."))
            elif name in module.top and isinstance(module.top[name][-1], Function):
                target = module.top[name][-1]
            if target is not None and id(target) not in seen:
                seen.add(id(target))
                todo.append(target)


def steps_expressions(nodes: Sequence[ast.AST], loop: ast.AST) -> list[ast.expr]:
    """The expressions that hold the accumulation steps: `% A`, `/ A`, `range(A)`; those with a telling name first."""
    uses: dict[str, tuple[ast.expr, set[str]]] = {}

    def add(expression: ast.expr, use: str) -> None:
        while (
            isinstance(expression, ast.Call)
            and last(dotted(expression.func)) in ("int", "float", "max")
            and expression.args
        ):
            expression = expression.args[0]
        if isinstance(expression, ast.Constant) and not (
            isinstance(expression.value, int | float) and expression.value > 1
        ):
            return
        uses.setdefault(ast.dump(expression), (expression, set()))[1].add(use)

    for root in nodes:
        for node in ast.walk(root):
            match node:
                case ast.BinOp(op=ast.Mod(), left=left, right=right) if not isinstance(
                    left, ast.Constant | ast.JoinedStr
                ):
                    add(right, "gate")
                case ast.BinOp(op=ast.Div(), right=right):
                    add(right, "divisor")
                case ast.AugAssign(op=ast.Div(), value=value):
                    add(value, "divisor")
                case ast.Compare(comparators=[right], ops=[ast.Eq() | ast.GtE()]):
                    add(right, "compared")
                case ast.Call(func=ast.Attribute(attr="div" | "div_"), args=[value, *_]):
                    add(value, "divisor")
                case ast.Call(func=ast.Name(id="range" | "with_target_share" | "islice"), args=[_, *_]) if (
                    node is not loop
                ):
                    add(node.args[-1], "gate")
                case ast.Call(func=ast.Attribute(attr="islice"), args=[_, _]):
                    add(node.args[-1], "gate")
    named = [e for e, _ in uses.values() if _has_telling_name(e)]
    if named:
        return named
    lengths = [length for root in nodes for node in ast.walk(root) if (length := _window_length(node)) is not None]
    if lengths:
        return lengths
    gates = [e for e, found in uses.values() if "gate" in found and not _OTHER_PERIODS.search(ast.unparse(e))]
    both = [e for e in gates if "divisor" in uses[ast.dump(e)][1]]
    return both or gates[:1]


def _window_length(node: ast.AST) -> ast.expr | None:
    """`for window in windows(loader, size)` with a loop over the window inside: `size`."""
    match node:
        case ast.For(target=ast.Name(id=window), iter=ast.Call(args=[_, *_, length])) if isinstance(length, ast.Name):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.For) and n is not node]
            if any(isinstance(n, ast.Name) and n.id == window for loop in inner for n in ast.walk(loop.iter)):
                return length
    return None


def _has_telling_name(expression: ast.expr) -> bool:
    if isinstance(expression, ast.Call) and (expression.args or expression.keywords):
        return False
    name = dotted(expression.func if isinstance(expression, ast.Call) else expression)
    return (
        name is not None
        and ACCUMULATION.search(last(name)) is not None
        and not re.search("loss|token|count", last(name))
    )


class ReplaceSteps(ast.NodeTransformer):
    """Puts the harness's number of steps where the user's stands."""

    def __init__(self, expressions: Sequence[ast.expr]) -> None:
        self.dumps = {ast.dump(e) for e in expressions if not isinstance(e, ast.Constant)}
        self.literals = {e.value for e in expressions if isinstance(e, ast.Constant)}

    def visit(self, node: ast.AST) -> ast.AST:
        is_read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if isinstance(node, ast.expr) and self.dumps and is_read and ast.dump(node) in self.dumps:
            return _steps_name(node)
        self.generic_visit(node)
        if self.literals:
            self._replace_literal(node)
        return node

    def _replace_literal(self, node: ast.AST) -> None:
        """A literal is replaced only where it acts as the steps."""
        match node:
            case ast.BinOp(op=ast.Mod() | ast.Div(), right=ast.Constant(value=value)) if value in self.literals:
                node.right = _steps_name(node.right)
            case ast.AugAssign(op=ast.Div(), value=ast.Constant(value=value)) if value in self.literals:
                node.value = _steps_name(node.value)
            case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=value)]) if value in self.literals:
                node.args[0] = _steps_name(node.args[0])


def _steps_name(node: ast.expr) -> ast.Name:
    return ast.copy_location(ast.Name(STEPS_NAME, ast.Load()), node)


class Flatten(ast.NodeTransformer):
    """The loop is executed outside its function: no return, yield or await."""

    def _keep(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _keep

    def visit_Return(self, node: ast.Return) -> ast.AST:
        return ast.copy_location(ast.parse("raise __ga_finished__").body[0], node)

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        return node.value or ast.copy_location(ast.Constant(None), node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        return node.value

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)
