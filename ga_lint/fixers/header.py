"""What does a `for` loop iterate over, once `enumerate` and progress bars are taken off?"""

from __future__ import annotations

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.source import Span

_PROGRESS_BARS = frozenset({"tqdm", "track", "auto_tqdm"})


class Header(Struct, frozen=True):
    """`for index, target in enumerate(loader, start)`: index and start are None and "0" without `enumerate`."""

    loop: cst.For
    loader: cst.BaseExpression
    target: cst.BaseExpression
    index: str | None
    start: str  # the text: a number, or sums of names, which can be read a second time
    loader_names: frozenset[str]  # texts whose `len` is the number of micro-batches
    is_bar: bool  # the loader's name stands for a progress bar

    def target_text(self, tree: Tree) -> str:
        """What binds one micro-batch, as `for ... in window` needs it."""
        return tree.code(self.target.with_changes(lpar=[], rpar=[]))


def header_of(tree: Tree, loop: cst.For) -> Header:
    """Read the head of a loop over micro-batches, or refuse."""
    if loop.asynchronous is not None or loop.orelse is not None:
        raise FixNotApplicable("the loop is asynchronous or has an else branch")
    loader: cst.BaseExpression = loop.iter
    target: cst.BaseExpression = loop.target
    index, start = None, "0"
    names = set()
    while isinstance(loader, cst.Call) and loader.args and loader.args[0].keyword is None and not loader.args[0].star:
        name = (dotted(loader.func) or "").rpartition(".")[2]
        if name == "enumerate" and index is None:
            index, target = _enumerated(target)
            start = _start(tree, loader)
        elif name not in _PROGRESS_BARS:
            break
        loader = loader.args[0].value
        names.add(tree.code(loader))
    if not all(isinstance(each, cst.Name | cst.Tuple | cst.List) for each in (target, *_elements(target))):
        raise FixNotApplicable("the loop does not bind its micro-batch to plain names")
    shown = _shown_in_bar(tree, loop, loader)
    names |= {tree.code(loader)} | shown
    return Header(loop, loader, target, index, start, frozenset(names), bool(shown))


def wrap_loader(edits: Edits, header: Header, wrapped: str, shares: tuple[str, ...]) -> None:
    """`for step, batch in enumerate(loader)` becomes `for step, (batch, share) in enumerate(wrapped)`.

    Where the head's line would become too long, what is iterated over gets a name above it.
    """
    target, tree = header.target, edits.tree
    text = tree.code(target)
    if isinstance(target, cst.Tuple) and not target.lpar:
        text = f"({text})"
    share = ", ".join(shares)
    pair = f"{text}, {share}"
    edits.replace(target, f"({pair})" if header.index is not None else pair)
    start = tree.span_of(header.loop).start
    head = tree.source.lines[start.row - 1]
    if len(head) + len(wrapped) - len(tree.code(header.loader)) + len(share) + 4 <= MAX_WIDTH:
        edits.replace(header.loader, wrapped)
        return
    name = fresh_name(tree, header.loop, "micro_batches", "shared_batches")
    bound = f"{name} = {wrapped}\n"
    if start.column + len(bound) - 2 > MAX_WIDTH:
        made, _, arguments = bound.removesuffix(")\n").partition("(")
        bound = f"{made}(\n    {arguments}\n)\n"
    edits.insert_before(header.loop, bound)
    edits.replace(header.loader, name)


def named_window(edits: Edits, header: Header) -> str:
    """The name of what the loop runs over, so that it can be counted first; a slice is given one above the loop."""
    match header.loader:
        case cst.Name(value=name):
            return name
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Slice())]):
            name = fresh_name(edits.tree, header.loop, "window", "micro_batches")
            edits.insert_before(header.loop, f"{name} = {edits.tree.code(header.loader)}\n")
            edits.replace(header.loader, name)
            return name
    raise FixNotApplicable("the window has no name, so it cannot be counted before it runs")


def _enumerated(target: cst.BaseExpression) -> tuple[str, cst.BaseExpression]:
    match target:
        case cst.Tuple(elements=[cst.Element(value=cst.Name(value=index)), cst.Element(value=inner)]):
            return index, inner
        case _:
            raise FixNotApplicable("the loop does not unpack what enumerate yields")


def _start(tree: Tree, call: cst.Call) -> str:
    if len(call.args) == 1:
        return "0"
    start = call.args[1].value
    if len(call.args) > 2 or not _is_arithmetic(start):
        raise FixNotApplicable(f"enumerate starts at {tree.code(start)}, which cannot be computed a second time")
    return tree.code(start)


def _is_arithmetic(node: cst.BaseExpression) -> bool:
    """Made of names, attributes and numbers: reading it twice gives the same twice."""
    if isinstance(node, cst.BinaryOperation):
        return _is_arithmetic(node.left) and _is_arithmetic(node.right)
    return isinstance(node, cst.Integer) or dotted(node) is not None


def _elements(target: cst.BaseExpression) -> list[cst.BaseExpression]:
    return [element.value for element in target.elements] if isinstance(target, cst.Tuple | cst.List) else []


def _shown_in_bar(tree: Tree, loop: cst.For, loader: cst.BaseExpression) -> set[str]:
    """What a name iterates over that was bound to a progress bar: it has the same length."""
    if not isinstance(loader, cst.Name):
        return set()
    name, shown = loader.value, set()

    class Bars(cst.CSTVisitor):
        def visit_Assign(self, node: cst.Assign) -> None:
            bar = node.value
            if dotted(node.targets[0].target) != name or not isinstance(bar, cst.Call) or not bar.args:
                return
            if (dotted(bar.func) or "").rpartition(".")[2] in _PROGRESS_BARS:
                shown.add(tree.code(bar.args[0].value))

    tree.scope_of(loop).visit(Bars())
    return shown


def refuse_unsound_body(tree: Tree, header: Header, used: Span, *fixed: str) -> None:
    """A window is what the loader yields only if the body skips nothing, iterates nothing else and keeps the names.

    A micro-batch counts once the line of `used` has run; what follows may `continue`.
    """
    loader = tree.code(header.loader)
    names = {name for text in fixed for name in names_in(tree.parse_expression(text))}

    class Body(cst.CSTVisitor):
        def visit_FunctionDef(self, _node: cst.FunctionDef) -> bool:
            return False

        def visit_For(self, node: cst.For) -> bool:
            self.iterated(node, node.iter)
            return not _has_own_continue(node)

        def visit_While(self, node: cst.While) -> bool:
            return not _has_own_continue(node)

        def visit_Continue(self, node: cst.Continue) -> None:
            if tree.span_of(node).start < used.start:
                self.refuse(node, "a `continue` can leave micro-batches out of their window")

        def visit_Call(self, node: cst.Call) -> None:
            if dotted(node.func) in ("iter", "next", "list", "enumerate") and node.args:
                self.iterated(node, node.args[0].value)

        def iterated(self, node: cst.CSTNode, what: cst.BaseExpression) -> None:
            if tree.code(what) == loader:
                self.refuse(node, "the loader is iterated a second time in the loop body")

        def refuse(self, node: cst.CSTNode, reason: str) -> None:
            raise FixNotApplicable(f"{reason} (line {tree.span_of(node).start.row})")

    body = Body()
    header.loop.body.visit(body)
    for each in bindings_in(tree, header.loop.body):
        for name in names & names_in(each.target):
            body.refuse(each.target, f"{name} changes in the loop body")


def _has_own_continue(loop: cst.For | cst.While) -> bool:
    """A `continue` in an inner loop belongs to that one."""
    found = False

    class Continues(cst.CSTVisitor):
        def visit_Continue(self, _node: cst.Continue) -> None:
            nonlocal found
            found = True

    loop.body.visit(Continues())
    return found
