"""What are the targets that a loss is handed, in nothing but the names that the loop's head binds?

`targets` of `targets = batch["labels"][:, 1:].masked_fill(batch["prompt"][:, 1:] == 1, -100)` is that expression: it
may be counted before the loop runs. Followed are lines that surely run before the loss and change nothing in place.
"""

from __future__ import annotations

import ast
import re

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.header import Header
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.source import Position
from ga_lint.syntax.repeatable import SAME_ELEMENTS

_SAME_COUNT = SAME_ELEMENTS - {"long", "int"}
_VIEWS = SAME_ELEMENTS - {"clone"}  # what may hand over the same elements: of these `.to()` copies only sometimes
_PURE = SAME_ELEMENTS | frozenset("masked_fill ne eq bool squeeze unsqueeze transpose where".split())
_NODES = (
    ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.Compare,
    ast.Call, ast.keyword, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


def written_out(tree: Tree, header: Header, targets: str, call: cst.Call) -> str:
    """The targets of `call`, or a refusal that names the line which keeps them from being counted before."""
    lines = _Lines(tree, header, call)
    expression = lines.written_out(_parsed(targets), tree.span_of(call).start)
    _refuse_impure(expression)
    lines.refuse_other_names(expression)
    return _in_quotes(tree, ast.unparse(_Bare().visit(expression)))


def refuse_other_names(tree: Tree, header: Header, targets: str) -> None:
    """Are the targets of the loop's head changed in place under another name?"""
    _Lines(tree, header, header.loop).refuse_other_names(_parsed(targets))


class _Lines:
    """The lines of a loop's body that surely run before a call."""

    def __init__(self, tree: Tree, header: Header, call: cst.CSTNode) -> None:
        self.tree, self.body, self.drawn = tree, header.loop.body, header.target
        self.around = set(map(id, tree.around(call)))
        self.head = _names(_parsed(header.target_text(tree)))

    def written_out(self, expression: ast.expr, before: Position) -> ast.expr:
        """The expression as it stands at `before`, in the names that the loop starts with."""
        values: dict[str, ast.expr] = {}
        for name in sorted(_names(expression)):
            found = self._value_of(name, before)
            if found is not None:
                values[name] = self.written_out(*found)
        replaced: ast.expr = _Replaced(values).visit(expression)
        return replaced

    def _value_of(self, name: str, before: Position) -> tuple[ast.expr, Position] | None:
        """What the name was given last, and where; None where it is what the loop starts with."""
        for changed in self._changed(name):
            self._refuse(self.tree.span_of(changed).start)
        assigned = self._assigned(name)
        above = [(node, value) for node, value in assigned if self.tree.span_of(node).start < before]
        if not above:
            if assigned and name not in self.head:  # from the round before
                self._refuse(self.tree.span_of(assigned[0][0]).start)
            return None
        node, value = max(above, key=lambda one: self.tree.span_of(one[0]).start)
        place = self.tree.span_of(node).start
        if value is None or id(self.tree.enclosing(node, cst.IndentedBlock)) not in self.around:
            self._refuse(place)
        assert value is not None
        if name in self.head and moves(self.tree, value, name):
            return _parsed(name), place  # the micro-batch itself, on another device
        return _parsed(self.tree.code(value)), place

    def refuse_other_names(self, expression: ast.expr) -> None:
        """Is a part of it changed in place, by that or another name? `y = batch["labels"]`, then `y[:, :4] = -100`."""
        parts = {ast.dump(node) for node in ast.walk(expression) if isinstance(node, ast.expr)}
        for node, base in self._changes():
            part = _entry(base)
            if part is not None and not isinstance(part, cst.Name) and self._dump(part) in parts:
                self._refuse(self.tree.span_of(node).start)
        for each in bindings_in(self.tree, self.body):
            part, name = each.value and _entry(each.value), dotted(each.target)
            if part is None or name is None or self._dump(part) not in parts:
                continue
            parts.add(ast.dump(_parsed(name)))
            for changed in self._changed(name):
                self._refuse(self.tree.span_of(changed).start)

    def _dump(self, node: cst.BaseExpression) -> str:
        return ast.dump(_parsed(self.tree.code(node)))

    def _refuse(self, place: Position) -> None:
        raise FixNotApplicable(f"the targets are made on line {place.row}, in a way that cannot be counted before")

    def _assigned(self, name: str) -> list[tuple[cst.CSTNode, cst.BaseExpression | None]]:
        """Where the name itself is given a value, with that value where it is in sight."""
        found: list[tuple[cst.CSTNode, cst.BaseExpression | None]] = []
        for each in bindings_in(self.tree, self.body):
            if each.target is self.drawn or isinstance(each.target, cst.Subscript | cst.Attribute):
                continue  # the micro-batch as it comes; or a part
            if name in _names(_parsed(self.tree.code(each.target))):
                found.append((each.node, each.value))
        return found

    def _changed(self, name: str) -> list[cst.CSTNode]:
        return [node for node, base in self._changes() if _is_part(base, name)]

    def _changes(self) -> list[tuple[cst.CSTNode, cst.BaseExpression]]:
        """What is changed in place: `labels[mask] = -100`, `labels.masked_fill_(...)`, `labels += 1`, `out=labels`."""
        found: list[tuple[cst.CSTNode, cst.BaseExpression]] = []
        for each in bindings_in(self.tree, self.body):
            if isinstance(each.node, cst.AugAssign):
                found.append((each.node, each.target))
            elif isinstance(each.target, cst.Subscript | cst.Attribute):
                found.append((each.node, each.target.value))
        for call in self.tree.inside(self.body, cst.Call):
            if isinstance(call.func, cst.Attribute) and call.func.attr.value.endswith("_"):
                found.append((call, call.func.value))
            found += [(call, arg.value) for arg in call.args if arg.keyword is not None and arg.keyword.value == "out"]
        return found


def _entry(value: cst.BaseExpression) -> cst.BaseExpression | None:
    """`batch["labels"]` in `batch["labels"][:, 1:].view(-1)`: what shares its elements, unless they are copied."""
    entry: cst.BaseExpression | None = None
    while not isinstance(value, cst.Name):
        match value:
            case cst.Call(func=cst.Attribute(value=inner, attr=cst.Name(value=name))) if name in _VIEWS:
                value = inner
            case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=cst.SimpleString()))]):
                entry, value = value, value.value
            case cst.Attribute():
                entry, value = value, value.value
            case cst.Subscript():  # of a tensor, which has no keys
                value = value.value
            case _:
                return None
    return entry or value


def _is_part(node: cst.BaseExpression, name: str) -> bool:
    """Is it what has this name, or an entry or an attribute of that?"""
    while dotted(node) != name and isinstance(node, cst.Subscript | cst.Attribute):
        node = node.value
    return dotted(node) == name


class _Replaced(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self._texts = {name: ast.unparse(value) for name, value in values.items()}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _parsed(self._texts[node.id]) if node.id in self._texts else node


class _Bare(ast.NodeTransformer):
    """Without what only shapes or moves: everything is counted where the micro-batch is."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(value=value, attr=name) if name in _SAME_COUNT:
                return value
        return node


def _refuse_impure(expression: ast.expr) -> None:
    for node in ast.walk(expression):
        is_call = isinstance(node, ast.Call)
        pure = isinstance(node, _NODES) and (
            not is_call
            or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PURE)
        )
        if not pure:
            raise FixNotApplicable(
                f"the targets are made by `{ast.unparse(node)}`, which cannot be computed a second time"
            )


def _in_quotes(tree: Tree, text: str) -> str:
    prefers_double = tree.source.text.count('"') >= tree.source.text.count("'")
    return text.replace("'", '"') if prefers_double and not set(text) & set('"\\') else text


def _names(node: ast.expr) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _parsed(text: str) -> ast.expr:
    return ast.parse(f"({text})", mode="eval").body


MOVES = re.compile(r"(^|_)(device|cuda|gpu|move|send|xla)(_|$)|^to$", re.IGNORECASE)


def moves(tree: Tree, value: cst.BaseExpression, batch: str) -> bool:
    """Is this the same micro-batch on another device, or in another container?"""
    match value:
        case cst.Call(func=func, args=[cst.Arg(value=first), *_]) if dotted(func) in ("dict", "tuple", "list"):
            return moves(tree, first, batch)
        case cst.DictComp(for_in=cst.CompFor(iter=source)):
            return tree.code(source) == f"{batch}.items()" and "[" not in tree.code(value.value)
        case cst.ListComp(for_in=cst.CompFor(iter=source)) | cst.GeneratorExp(for_in=cst.CompFor(iter=source)):
            return tree.code(source) == batch
        case cst.Call(func=cst.Attribute(value=inner, attr=cst.Name(value=name))) if tree.code(inner) == batch:
            return bool(MOVES.search(name))
        case cst.Call(func=func, args=[cst.Arg(value=first), *_]):
            name = (dotted(func) or "").rpartition(".")[2]
            return bool(MOVES.search(name)) and (tree.code(first) == batch or moves(tree, first, batch))
        case _:
            return tree.code(value) == batch
