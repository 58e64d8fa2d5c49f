"""Which places of the code take a batch apart? Each is led through `unpacking`."""

from __future__ import annotations

import ast
import copy
from typing import Any

from ga_lint.verify.worker.harness.unpacking import EACH, FEED, ITEM, MOVED, OWN, SAME, UNPACK, VALUES, Shape
from ga_lint.verify.worker.reading.sources import dotted, labelled, last, method_of

_BACKWARD = ("backward", "manual_backward")
_IDS = ("input_ids", "inputs", "tokens", "ids")


class Passages(ast.NodeTransformer):
    """Leads tuple targets, loops and numbered items through the functions of `unpacking`."""

    def __init__(self) -> None:
        self._scopes: list[ast.AST] = []

    def rewritten(self, node: ast.AST) -> Any:
        self._scopes.append(node)
        return self.visit(node)

    def _visit_scope(self, node: ast.AST) -> ast.AST:
        self._scopes.append(node)
        self.generic_visit(node)
        self._scopes.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _visit_scope

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self._lead_comprehensions(node)
        if isinstance(node.targets[0], ast.Name) and not isinstance(node.value, ast.Dict):
            self._name_items(node.value, node.targets[0].id)
        self.generic_visit(node)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Tuple | ast.List):
            shape = self._shape(node.targets[0])
            if shape is not None and not isinstance(node.value, ast.Tuple | ast.List):
                node.value = _call(UNPACK, node.value, shape)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        shape = self._shape(node.target) if isinstance(node.target, ast.Tuple | ast.List) else None
        holds = any(isinstance(n, ast.Call) and method_of(n) in _BACKWARD for s in node.body for n in ast.walk(s))
        self.generic_visit(node)
        if shape is not None or holds:
            node.iter = _call(FEED if holds else EACH, node.iter, shape)
        return node

    def _lead_comprehensions(self, node: ast.Assign) -> None:
        """`batch = tuple(t.to(device) for t in batch)`, then `batch[3]` or `x, y = batch`, which say the names."""
        name = dotted(node.targets[0])
        for each in ast.walk(node.value):
            if isinstance(each, ast.GeneratorExp | ast.ListComp) and isinstance(each.generators[0].target, ast.Name):
                item = each.generators[0].target.id
                if any(isinstance(n, ast.Attribute) and dotted(n.value) == item for n in ast.walk(each.elt)):
                    shape = self._shape(node.targets[0]) if name is None else self._numbered(name)
                    if shape:
                        each.generators[0].iter = _call(VALUES, each.generators[0].iter, shape)
                    elif name is not None and _only_moves(each.elt, item):
                        node.value = _kept_whole(each.generators[0].iter, node.value)

    def _numbered(self, batch: str) -> Shape:
        """The names under which the items of a tuple are used: `{"input_ids": batch[0]}`, `x, y = batch`."""
        named: dict[int, str] = {}
        for node in ast.walk(self._scopes[-1]):
            match node:
                case ast.Assign(targets=[ast.Tuple() as target], value=value) if dotted(value) == batch:
                    return self._shape(target)
            for name, value in labelled(node):
                for part in ast.walk(value):
                    match part:
                        case ast.Subscript(slice=ast.Constant(value=int(place))) if dotted(part.value) == batch:
                            named.setdefault(place, name)
        return tuple(named.get(place, "token_type_ids") for place in range(max(named) + 1)) if named else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        for keyword in node.keywords:
            if keyword.arg is not None:
                self._name_items(keyword.value, keyword.arg)
        return self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._name_items(value, key.value)
        return self.generic_visit(node)

    def _name_items(self, value: ast.expr, name: str) -> None:
        """`batch[1]`, `batch[1].to(device)` under a name: remembered on the node."""
        for node in ast.walk(value):
            match node:
                case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=int()), ctx=ast.Load()):
                    node.__dict__.setdefault("ga_name", name)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        name = node.__dict__.get("ga_name")
        self.generic_visit(node)
        if name is None:
            return node
        call = ast.Call(ast.Name(ITEM, ast.Load()), [node.value, node.slice, ast.Constant(name)], [])
        return ast.copy_location(call, node)

    def _shape(self, target: ast.expr) -> Shape:
        """The shape of a target, or None where it takes a number of parts that is not fixed."""
        if isinstance(target, ast.Tuple | ast.List):
            shapes = tuple(map(self._shape, target.elts))
            return None if None in shapes else shapes
        if isinstance(target, ast.Starred):
            return None
        name = dotted(target)
        return ast.unparse(target) if name is None else f"{self._use(name)}{last(name)}"

    def _use(self, name: str) -> str:
        """How the function around treats a part: as a batch of its own, or as a tensor."""
        found = ""
        for node in ast.walk(self._scopes[-1]):
            match node:
                case ast.Assign(targets=[ast.Tuple()], value=value) if dotted(value) == name:
                    return OWN
                case ast.keyword(arg=None, value=value) if dotted(value) == name:
                    return OWN
                case ast.Subscript(value=value, slice=ast.Constant(value=str(key))) if dotted(value) == name:
                    if key in _IDS:
                        return OWN
                    found = SAME
                case ast.Attribute(value=value, attr=attribute) if dotted(value) == name:
                    if attribute in _IDS:
                        return OWN
                    if attribute in ("items", "keys", "values", "labels"):
                        found = SAME
        return found


def _call(name: str, value: ast.expr, shape: Shape) -> ast.Call:
    return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [value, ast.Constant(shape)], []), value)


def _only_moves(element: ast.expr, item: str) -> bool:
    """`t.to(device)`, `t.cuda()`"""
    return isinstance(element, ast.Call) and dotted(element.func) in (f"{item}.to", f"{item}.cuda")


def _kept_whole(batch: ast.expr, parts: ast.expr) -> ast.Call:
    none = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    given: list[ast.expr] = [copy.deepcopy(batch), ast.Lambda(none, parts)]
    return ast.copy_location(ast.Call(ast.Name(MOVED, ast.Load()), given, []), parts)


def with_passages(node: ast.AST) -> Any:
    return Passages().rewritten(node)
