"""Are the batches of this loop tuples, and what are their parts called?"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from ga_lint.verify.worker.reading.roles import WRAPS, iterated, unwrap_iterable
from ga_lint.verify.worker.reading.sources import Module, dotted, labelled, last

_MOVES = re.compile(r"^(tuple|list|map)$|device|cuda|move|unpack|prepare")
IGNORE = -100  # what labels hold where there is no target, unless the code says otherwise; torch's own default
ONE_TENSOR = ("<ids>",)  # the batch is the token ids themselves
_BY_LENGTH = {1: ("input_ids",), 2: ("input_ids", "labels"), 3: ("input_ids", "attention_mask", "labels")}


def tuple_layout(
    nodes: Sequence[ast.AST], roles: dict[str, str], loop: ast.AST, before: Mapping[str, Sequence[ast.stmt]]
) -> tuple[str, ...] | None:
    """The names of a tuple batch's parts in order, or None for a batch with keys.

    `before`: what the names are given before the loop.
    """
    for node in (each for root in nodes for each in ast.walk(root)):
        if isinstance(node, ast.For):
            loaders = (name for name in iterated(node, loop, before) if roles.get(name) == "loader")
            if next(loaders, None) is None or _is_wrapped(node.iter):
                continue
            _, enumerated = unwrap_iterable(node.iter)
            target = node.target
            if enumerated and isinstance(target, ast.Tuple) and len(target.elts) == 2:
                target = target.elts[1]
            if isinstance(target, ast.Tuple):
                return _names(target)
            if isinstance(target, ast.Name):
                return _parts_of(target.id, nodes)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _draws(node.value, roles):
            target = node.targets[0]
            if isinstance(target, ast.Tuple):
                return _names(target)
            if isinstance(target, ast.Name):
                return _parts_of(target.id, nodes)
    return None


def _is_wrapped(iterable: ast.expr) -> bool:
    """Whether a generator of the user's stands between the loader and the loop: its items are not batches."""
    calls = [n for n in ast.walk(iterable) if isinstance(n, ast.Call)]
    return any(WRAPS.search(last(dotted(call.func))) for call in calls)


def _draws(call: ast.Call, roles: dict[str, str]) -> bool:
    name = dotted(call.func) or ""
    drawn = dotted(call.args[0]) if name == "next" and call.args else name.rpartition(".")[0]
    return roles.get(name) == "batch function" or roles.get(drawn or "") in ("iterator", "loader")


def _names(target: ast.Tuple) -> tuple[str, ...]:
    return tuple(last(dotted(part)) or ast.unparse(part) for part in target.elts)


def _parts_of(batch: str, nodes: Sequence[ast.AST]) -> tuple[str, ...] | None:
    """From how `batch` is used later: `x, y = batch`, `batch[0]`, `tuple(t.to(device) for t in batch)`."""
    named: dict[int, str] = {}
    highest, is_tuple = -1, False
    for node in (each for root in nodes for each in ast.walk(root)):
        match node:
            case ast.Assign(targets=[ast.Tuple() as target], value=value) if _comes_from(value, batch):
                return _names(target)
            case ast.Subscript(slice=ast.Constant(value=int(index))) if dotted(node.value) == batch:
                highest, is_tuple = max(highest, index), True
            case ast.Subscript(slice=ast.Constant(value=str())) if dotted(node.value) == batch:
                return None
            case ast.Subscript(slice=ast.Tuple() | ast.Slice()) if dotted(node.value) == batch:
                return ONE_TENSOR
            case ast.keyword(arg="labels" | "targets") if dotted(node.value) == batch:
                return ONE_TENSOR
            case ast.Attribute(attr="items" | "keys" | "input_ids" | "labels") if dotted(node.value) == batch:
                return None
            case ast.keyword(arg=None) if dotted(node.value) == batch:
                return None
            case ast.comprehension() if dotted(node.iter) == batch:
                is_tuple = True
            case ast.Starred() if dotted(node.value) == batch:
                is_tuple = True
        for name, value in labelled(node):
            for part in ast.walk(value):
                match part:
                    case ast.Subscript(slice=ast.Constant(value=int(index))) if dotted(part.value) == batch:
                        named.setdefault(index, name)
    if not is_tuple:
        return None
    if named:
        return tuple(named.get(n, "token_type_ids") for n in range(max(highest, *named) + 1))
    return _BY_LENGTH.get(max(highest + 1, 2))


def _comes_from(value: ast.expr, batch: str) -> bool:
    if dotted(value) == batch:
        return True
    if isinstance(value, ast.Call) and _MOVES.search(last(dotted(value.func))):
        return any(_comes_from(argument, batch) for argument in value.args)
    return isinstance(value, ast.GeneratorExp | ast.ListComp) and dotted(value.generators[0].iter) == batch


def batch_keys(nodes: Sequence[ast.AST]) -> list[str]:
    """Every literal name that is used as an item somewhere: perhaps a key of the batch."""
    found = [
        node.slice.value
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ]
    return [key for key in dict.fromkeys(found) if key not in ("lr", "initial_lr", "params", "text")]


def ignore_index(nodes: Sequence[ast.AST], module: Module) -> int | None:
    """The `ignore_index=` of the slice, else of the file: a literal, a module's constant, a parameter's default."""
    for node in (each for root in (*nodes, module.tree) for each in ast.walk(root)):
        value: ast.expr | None = None
        if isinstance(node, ast.keyword) and node.arg == "ignore_index":
            value = node.value
        elif isinstance(node, ast.arguments):
            names = [a.arg for a in node.args][len(node.args) - len(node.defaults) :]
            value = dict(zip(names, node.defaults, strict=True)).get("ignore_index")
        if isinstance(value, ast.Name) and value.id in module.top:
            value = getattr(module.top[value.id][-1], "value", None)
        try:
            if value is not None:
                return int(ast.literal_eval(value))
        except (ValueError, TypeError):
            continue
    return None
