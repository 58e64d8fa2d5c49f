"""Which statements make up the loop, and which expression holds its accumulation steps?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.reading.lightning_loop import lightning_loop
from ga_lint.verify.worker.reading.sources import (
    Function,
    Loop,
    Module,
    bound_names,
    dotted,
    last,
    method_of,
    statements,
)

_BACKWARD = ("backward", "manual_backward")
_STEPS = re.compile(r"^step$|(^|_)optim(izer)?_step$")


@dataclass(frozen=True)
class LoopSlice:
    """The loop to execute and everything of the same file that it calls."""

    loop: ast.stmt
    function: Function | None  # the function that the loop stands in
    owner: ast.ClassDef | None  # the class of that function
    nodes: tuple[ast.AST, ...]  # the loop, and the helpers it reaches
    is_driven: bool = False  # the loop is Lightning's own


def slice_loop(module: Module, scope: str, row: int | None, order_of: tuple[Module, int] | None) -> LoopSlice:
    """The smallest loop that holds the backward and a step, or the loop that calls the function with the backward."""
    step = module.find(scope, row) if scope else None
    is_step = isinstance(step, Function) and step.name == "training_step"
    if is_step and next(_backwards(step), None) is None:
        return _driven(module, step, automatic=True)  # type: ignore[arg-type]
    backward = find_backward(module, scope, row, order_of)
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
    caller = _caller(module, function, needs_step=bool(loops))
    if loops:
        return caller or _sliced(module, loops[-1], function)
    if caller is None and is_step:
        return _driven(module, step, automatic=False)  # type: ignore[arg-type]
    if caller is None:
        raise NotVerifiable(f"needs the loop around the backward in line {backward.lineno}")
    return caller


def find_backward(module: Module, scope: str, row: int | None, order_of: tuple[Module, int] | None) -> ast.Call:
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
        found = [n for n in ast.walk(scope) if isinstance(n, ast.Call) and last(method_of(n)) in _BACKWARD]
        yield from sorted(found, key=lambda call: (call.lineno, call.col_offset))


def _steps(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Call) and _STEPS.search(method_of(n)) for n in ast.walk(node))


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
    owner: ast.AST | None = function
    while owner is not None and not isinstance(owner, ast.ClassDef):
        owner = module.parents.get(id(owner))  # also of a function inside a method, which has its `self`
    return LoopSlice(loop, function, owner, tuple(_reached(module, loop, owner)))


def _driven(module: Module, step: Function, automatic: bool) -> LoopSlice:
    """Lightning's own loop around the step of a LightningModule."""
    owner = module.parents.get(id(step))
    if not isinstance(owner, ast.ClassDef):
        raise NotVerifiable(f"needs the class around `{step.name}` (line {step.lineno})")
    loop = lightning_loop(module, step, automatic)
    return LoopSlice(loop, None, owner, tuple(_reached(module, loop, owner)), is_driven=True)


def _caller(module: Module, function: Function | None, *, needs_step: bool = False) -> LoopSlice | None:
    """The loop of this file from which the function is reached, and with it an optimizer step."""
    if function is None:
        return None
    for loop in ast.walk(module.tree):
        if isinstance(loop, Loop):
            found = _sliced(module, loop, next(iter(module.functions_around(loop)), None))
            is_called = any(node is function for node in found.nodes)
            if is_called and (not needs_step or any(map(_steps, found.nodes))):
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
