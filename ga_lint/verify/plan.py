"""Which places of a file can be checked numerically? One thin walk; what a rule knows better, its finding says."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ga_lint.verify.model import Site, SiteKind

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Loop = ast.For | ast.While | ast.AsyncFor
_COUNTS = frozenset({"num_items_in_batch", "num_items", "n_items"})
_LABELS = re.compile(r"label|target|^(y|gold|tgt)$", re.IGNORECASE)
_BACKWARD = frozenset({"backward", "manual_backward"})
_DIVIDES = re.compile(r"accumulate_grad_batches|manual_backward")  # Lightning accumulates where it is told to
_LOSSES = re.compile(r"loss_fct|loss_function\(|CrossEntropy|cross_entropy|nll_loss|NLLLoss|MSELoss")
_ACCUMULATES = re.compile(r"accum|\bgas\b|micro_?(batch|step)|no_sync|boundary", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    kind: SiteKind
    scope: str
    row: int
    first: int
    last: int


def sites_in(path: Path, text: str) -> tuple[Site, ...]:
    """Every site of the file, in order of its rows; none when the text is not Python."""
    return tuple(Site(path, place.kind, place.scope, place.row, text) for place in _places(text))


def site_at(path: Path, text: str, row: int) -> Site | None:
    """The smallest site around `row`, a finding's line, or None when nothing there can be run."""
    around = [place for place in _places(text) if place.first <= row <= place.last]
    if not around:
        return None
    place = min(around, key=lambda each: (each.last - each.first, abs(each.row - row)))
    return Site(path, place.kind, place.scope, place.row, text)


def _places(text: str) -> list[_Place]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = dict.fromkeys(_walk(tree, "", None, text.splitlines()))
    return sorted(found, key=lambda place: place.row)


def _walk(node: ast.AST, scope: str, owner: ast.ClassDef | None, lines: list[str]) -> Iterator[_Place]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _walk(child, _join(scope, child.name), child, lines)
        elif isinstance(child, _Function):
            name = _join(scope, child.name)
            kind = _kind_of(child, owner, lines)
            if kind is not None:
                yield _Place(kind, name, child.lineno, child.lineno, child.end_lineno or child.lineno)
            if kind not in (SiteKind.TRAINER, SiteKind.LOOP):
                yield from _walk(child, name, None, lines)
                yield from _helper(child, name, lines)
        elif isinstance(child, _Loop):
            for loop in (child,) if _accumulates(child, lines) else _windows(child):
                yield from _backwards(loop, scope)
            yield from _walk(child, scope, owner, lines)
        else:
            yield from _walk(child, scope, owner, lines)


def _kind_of(function: _Function, owner: ast.ClassDef | None, lines: list[str]) -> SiteKind | None:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    if owner is not None and function.name in ("compute_loss", "training_step") and names[:2] == ["self", "model"]:
        return SiteKind.TRAINER if _is_trainer(owner) else None
    if owner is not None and function.name == "training_step" and _is_lightning(owner) and len(names) > 1:
        return SiteKind.LOOP if _DIVIDES.search("\n".join(lines)) else None
    if owner is not None and function.name == "forward" and _is_model(owner):
        counted = function.args.kwarg is not None or _COUNTS.intersection(names)
        text = lines[function.lineno - 1 : function.end_lineno]
        return SiteKind.LOSS_FUNCTION if counted and "labels" in names and _LOSSES.search("\n".join(text)) else None
    counts = _COUNTS.intersection(names)
    return SiteKind.LOSS_FUNCTION if counts and any(map(_LABELS.search, names)) else None


def _is_model(owner: ast.ClassDef) -> bool:
    """A model of the library's kind: the Trainer looks at its forward to know whether it takes the count."""
    return bool(re.search(r"For[A-Z]|LMHead", owner.name)) or any("PreTrained" in ast.unparse(b) for b in owner.bases)


def _is_lightning(owner: ast.ClassDef) -> bool:
    return any("LightningModule" in ast.unparse(base) for base in owner.bases)


def _is_trainer(owner: ast.ClassDef) -> bool:
    if not owner.bases:
        return owner.name.endswith("TrainerMixin")
    return owner.name.endswith("Trainer") or any("Trainer" in ast.unparse(base) for base in owner.bases)


def _accumulates(node: ast.stmt, lines: list[str]) -> bool:
    """Whether the code speaks of accumulation, steps behind a modulo gate, or leaves both to an engine."""
    if _ACCUMULATES.search("\n".join(lines[node.lineno - 1 : node.end_lineno])) is not None:
        return True
    inside = list(ast.walk(node))
    gates = (n for n in inside if isinstance(n, ast.If) and any(isinstance(t, ast.Mod) for t in ast.walk(n.test)))
    if any(_calls(gate, "step") for gate in gates):
        return True
    return any(isinstance(n, ast.Call) and bool(n.args) and _method(n) == "backward" for n in inside)


def _windows(loop: _Loop) -> Iterator[_Loop]:
    """Loops with a backward and no step, where the loop around them steps."""
    if _calls(loop, "step"):
        for node in ast.walk(loop):
            if isinstance(node, _Loop) and node is not loop and _calls(node, "backward") and not _calls(node, "step"):
                yield node


def _helper(function: _Function, scope: str, lines: list[str]) -> Iterator[_Place]:
    """A backward outside every loop of a function that speaks of accumulation: the loop is its caller's."""
    if _ACCUMULATES.search("\n".join(lines[function.lineno - 1 : function.end_lineno])) is not None:
        yield from _backwards(function, scope)


def _backwards(around: _Loop | _Function, scope: str) -> Iterator[_Place]:
    """A site for each backward that stands in this loop or function, and in no loop or definition inside it."""
    todo: list[ast.AST] = list(around.body)
    while todo:
        node = todo.pop()
        if isinstance(node, _Function | ast.ClassDef | ast.Lambda | _Loop):
            continue
        if isinstance(node, ast.Call) and _method(node) in _BACKWARD:
            row = node.func.end_lineno or node.lineno
            yield _Place(SiteKind.LOOP, scope, row, around.lineno, around.end_lineno or around.lineno)
        todo.extend(ast.iter_child_nodes(node))


def _calls(node: ast.AST, method: str) -> bool:
    return any(isinstance(n, ast.Call) and _method(n) == method for n in ast.walk(node))


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name
