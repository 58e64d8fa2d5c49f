"""How many targets does a micro-batch hold, counted the way its loss counts them?

Options shared by the window fixers, all in the names that the loop's head binds:
`labels`      the targets: `batch["labels"]`, `y`; or
`mask`        the loss mask that is summed instead: `batch["loss_mask"]`
`shifted`     "yes" where the loss drops the first position (labels[..., 1:])
`ignore_index` what is no target; -100 without it, "" where the loss has none

With a place `handed`, the loss call, `labels` is what that is handed, in the names of the loop's body.
"""

from __future__ import annotations

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.header import Header
from ga_lint.fixers.imports import imported_as
from ga_lint.fixers.kept_targets import plain_text, refuse_handed_to_helper, single_targets
from ga_lint.fixers.names import names_in, names_known_at
from ga_lint.fixers.registry import Target
from ga_lint.fixers.tree import Tree, dotted
from ga_lint.fixers.written_out import MOVES, moves, refuse_other_names, written_out
from ga_lint.source import Span


class Counting(Struct, frozen=True):
    """`expression` counts one micro-batch; `given` is the value of `ignore_index` where it has to be passed in.

    `number` makes Python's number of it: a mask may hold weights, so its sum is no integer.
    """

    expression: str
    given: str | None = None
    number: str = "int"


def counting_of(target: Target, header: Header, passed_as: str) -> Counting:
    """The counting expression; an ignore index that is no number reads `passed_as`."""
    tree = target.tree
    mask = target.option_or("mask", "")
    labels = mask or target.option("labels")
    bound = names_in(header.target)
    handed = [tree.find(span, cst.Call) for span in target.spans("handed")]
    if handed:
        labels = written_out(tree, header, labels, handed[0])
        bound |= _modules(tree)
    foreign = names_in(tree.parse_expression(labels)) - bound
    if foreign:
        raise FixNotApplicable(f"the targets come from {', '.join(sorted(foreign))}, not from the micro-batch")
    if not handed:
        _refuse_changed_labels(tree, header, labels, target.spans("fetch"))
        _refuse_changed_by_helper(target, header, labels)
        refuse_other_names(tree, header, labels)
    cut = f"{labels}[..., 1:]" if target.option_or("shifted", "no") == "yes" else labels
    if mask:
        return Counting(f"{cut}.sum()", number="float")
    ignored = target.option_or("ignore_index", "-100")
    if not ignored:
        return Counting(f"{cut}.numel()")
    if ignored.lstrip("-").isdecimal():
        return Counting(f"({cut} != {ignored}).sum()")
    _refuse_unknown_names(tree, ignored, header.loop)
    return Counting(f"({cut} != {passed_as}).sum()", ignored)


def _only_moves(tree: Tree, value: cst.BaseExpression) -> bool:
    """`[part.to(device) for part in (ids, labels)]`, `to_device(ids, labels)`."""
    called = [call.func for call in tree.inside(value, cst.Call)]
    names = [func.attr if isinstance(func, cst.Attribute) else func for func in called]
    return bool(names) and all(isinstance(name, cst.Name) and MOVES.search(name.value) for name in names)


def _modules(tree: Tree) -> set[str]:
    """The names under which the file imports modules."""
    return {name for name in ("torch",) if imported_as(tree, name) == name}


def _is_entry_by_name(tree: Tree, target: cst.BaseExpression, batch: str) -> bool:
    """`batch[key]`: any entry, the targets too."""
    match target:
        case cst.Subscript(value=value, slice=[cst.SubscriptElement(slice=cst.Index(value=key))]):
            return tree.code(value) == batch and not isinstance(key, cst.SimpleString | cst.Integer)
    return False


def count_text(target: Target) -> str:
    """The count as a number on the targets' device, where the loop's body has them at hand."""
    mask = target.option_or("mask", "")
    labels = mask or target.option("labels")
    cut = f"{labels}[..., 1:]" if target.option_or("shifted", "no") == "yes" else labels
    if mask:
        return f"{cut}.sum().float()"
    ignored = target.option_or("ignore_index", "-100")
    if not ignored:
        raise FixNotApplicable("the loss ignores no targets, so how many there are is not in sight")
    _refuse_unknown_names(target.tree, ignored, target.loop())
    return f"({cut} != {ignored}).sum().float()"


def _refuse_unknown_names(tree: Tree, ignored: str, loop: cst.CSTNode) -> None:
    if unknown := names_in(tree.parse_expression(ignored)) - names_known_at(tree, loop):
        raise FixNotApplicable(f"the loss ignores {ignored}, and {min(unknown)} is not known where the loop runs")


def _refuse_changed_by_helper(target: Target, header: Header, labels: str) -> None:
    used = [*target.spans("division"), *target.spans("backward")]
    before = min(span.start for span in used) if used else target.tree.span_of(header.loop).end
    refuse_handed_to_helper(target.tree, header.loop, labels, before)


def _refuse_changed_labels(tree: Tree, header: Header, labels: str, fetches: list[Span]) -> None:
    """The count is taken before the loop body runs, so nothing in it may change what is a target once it is fetched."""
    whole_labels = tree.parse_expression(labels)
    plain = plain_text(tree, whole_labels)  # whatever the quotes
    batch = dotted(whole_labels.value) if isinstance(whole_labels, cst.Subscript | cst.Attribute) else None

    class Changes(cst.CSTVisitor):
        def visit_Call(self, node: cst.Call) -> None:
            func = node.func
            if batch is not None and isinstance(func, cst.Attribute) and tree.code(func.value) == batch:
                self.refuse_other(node, func.attr.value not in ("update", "setdefault", "__setitem__"))

        def refuse_other(self, node: cst.CSTNode, same: bool) -> None:
            if not same:
                row = tree.span_of(node).start.row
                raise FixNotApplicable(f"what line {row} makes of the micro-batch could change its targets")

        def visit_Assign(self, node: cst.Assign) -> None:
            if tree.span_of(node) in fetches:
                return
            for each in node.targets:
                for target in single_targets(each.target):
                    self.look(target, node.value, alone=target is each.target)

        def look(self, target: cst.BaseExpression, value: cst.BaseExpression, alone: bool) -> None:
            whole, made = plain_text(tree, target), plain_text(tree, value)
            part = isinstance(target, cst.Subscript) and plain_text(tree, target.value) == plain
            moved = f"{plain}.to(" in made or f"{plain}.cuda(" in made or (not alone and _only_moves(tree, value))
            if part or (whole == plain and not moved):
                row = tree.span_of(target).start.row
                raise FixNotApplicable(f"the targets are changed on line {row}, after they would be counted")
            if batch is not None and alone and (whole == batch or _is_entry_by_name(tree, target, batch)):
                self.refuse_other(target, moves(tree, value, whole))

    header.loop.body.visit(Changes())
