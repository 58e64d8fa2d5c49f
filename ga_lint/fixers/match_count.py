"""The window's count counts something else than the loss sums: count what it sums (GA106).

Places: `loop`, the `for` in which the loss is computed; `count`, where the number of one micro-batch is written, as
often as it is. Options: how the loss's targets are counted (see `counting`), in the names that the loop's head binds.

The user's count stays where it is, and what is done with it: only the number that each micro-batch adds is another. A
loop or a comprehension of its own may call the micro-batch by another name.
"""

from __future__ import annotations

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.counting import counting_of
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.header import Header, header_of
from ga_lint.fixers.names import names_in
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Tree, dotted

_Comprehension = cst.GeneratorExp | cst.ListComp | cst.SetComp


@fixer("match-count")
def match_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = target.loop()
    if not isinstance(loop, cst.For):
        raise FixNotApplicable("the loop draws its micro-batches itself, so they cannot be counted before")
    header = header_of(tree, loop)
    counting = counting_of(target, header, target.option_or("ignore_index", ""))
    for span in target.spans("count"):
        node = tree.expression(span)
        text = _Carried(edits, header, _around(tree, header, node)).text(counting.expression)
        is_int = isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and node.func.attr.value == "numel"
        text = f"{text}.item()" if is_int else text
        edits.replace(node, text)
        _break_long_line(edits, node, len(text))


def _break_long_line(edits: Edits, node: cst.BaseExpression, length: int) -> None:
    """`sum(... for batch in window)` over several lines, where its line would become too long."""
    tree = edits.tree
    row = tree.span_of(node).start.row
    comprehension = tree.enclosing(node, cst.GeneratorExp, cst.ListComp)
    added = length - len(tree.code(node))
    if comprehension is None or len(tree.source.lines[row - 1]) + added <= MAX_WIDTH:
        return
    call = tree.enclosing(comprehension, cst.Call)
    span = tree.span_of(comprehension)
    if call is None or [arg.value for arg in call.args] != [comprehension] or span.end.row > row:
        return
    indent = len(tree.source.lines[row - 1]) - len(tree.source.lines[row - 1].lstrip())
    unit = cst.SimpleWhitespace(tree.module.default_indent)
    inner = cst.ParenthesizedWhitespace(indent=True, last_line=unit)
    outer = cst.ParenthesizedWhitespace(indent=True)
    edits.change(
        call,
        lambda one: one.with_changes(
            whitespace_before_args=inner, args=[one.args[0].with_changes(whitespace_after_arg=outer)]
        ),
    )
    if indent + len(unit.value) + len(tree.code(comprehension)) + added > MAX_WIDTH:
        edits.change(
            comprehension, lambda one: one.with_changes(for_in=one.for_in.with_changes(whitespace_before=inner))
        )


class _Counting(Struct, frozen=True):
    """What binds the micro-batch that is counted: a `for` of its own, or that of the loss."""

    target: cst.BaseExpression
    window: str  # what it runs over


def _around(tree: Tree, header: Header, node: cst.BaseExpression) -> _Counting:
    """The comprehension or the loop in which the count stands."""
    guarded = False
    for outer in tree.around(node):
        if isinstance(outer, _Comprehension):
            inner = outer.for_in
            return _in_window(tree, header, outer, inner, bool(inner.inner_for_in or inner.ifs) or guarded)
        if outer is header.loop:
            return _Counting(header.target, tree.code(header.loader))
        if isinstance(outer, cst.For):
            return _in_window(tree, header, outer, header_of(tree, outer), guarded)
        guarded |= isinstance(outer, cst.If)
        if isinstance(outer, cst.FunctionDef | cst.Lambda):
            break
    row = tree.span_of(node).start.row
    raise FixNotApplicable(f"what is counted on line {row} is no micro-batch of a window in sight")


def _in_window(tree: Tree, header: Header, whole: cst.CSTNode, head: Header | cst.CompFor, guarded: bool) -> _Counting:
    if guarded:
        raise FixNotApplicable("the count leaves micro-batches out, or runs over parts of them")
    source = head.loader if isinstance(head, Header) else head.iter
    owner = tree.enclosing(whole, cst.FunctionDef)
    if owner is not None and owner is not tree.enclosing(header.loop, cst.FunctionDef):
        source = _as_called(tree, header, owner, source)
    names, start = names_in(source), tree.span_of(source).start
    for each in bindings_in(tree, tree.module):
        place = tree.span_of(each.target).start
        if start < place < tree.span_of(header.loop).start and names & names_in(each.target):
            raise FixNotApplicable(f"the window changes on line {place.row}, after it is counted")
    return _Counting(head.target, tree.code(source))


def _as_called(tree: Tree, header: Header, owner: cst.FunctionDef, source: cst.BaseExpression) -> cst.BaseExpression:
    """What a helper that counts is handed as its window: by one call, in the function that holds the loop."""
    name = owner.name.value
    calls = [one for one in tree.inside(tree.module, cst.Call) if (dotted(one.func) or "").split(".")[-1] == name]
    if len(calls) != 1 or tree.enclosing(calls[0], cst.FunctionDef) is not tree.enclosing(header.loop, cst.FunctionDef):
        raise FixNotApplicable(f"{name} counts for others too")
    parameters = [one.name.value for one in owner.params.params]
    if isinstance(calls[0].func, cst.Attribute) and parameters[:1] in (["self"], ["cls"]):
        parameters = parameters[1:]
    for parameter, argument in zip(parameters, calls[0].args, strict=False):
        if argument.keyword is None and not argument.star and parameter == tree.code(source):
            return argument.value
    raise FixNotApplicable(f"which window {name} counts is not in sight")


class _Carried(Struct, frozen=True):
    """An expression of the loss's micro-batch, in the names by which it is counted."""

    edits: Edits
    header: Header
    counting: _Counting

    def text(self, expression: str) -> str:
        tree, header, counting = self.edits.tree, self.header, self.counting
        if counting.target is header.target:
            return expression
        window = tree.code(header.loader)
        if counting.window != window:
            raise FixNotApplicable(f"what is counted are the micro-batches of {counting.window}, not of {window}")
        parsed = tree.parse_expression(expression)
        names = {name: self._name(name) for name in sorted(names_in(parsed) & names_in(header.target))}
        return tree.code(_renamed(parsed, names))

    def _name(self, name: str) -> str:
        """What the count calls what the loss calls `name`."""
        whole, part = self.header.target, self.counting.target
        match whole, part:
            case cst.Name(), cst.Name(value=other):
                return other
            case ((cst.Tuple() | cst.List()), cst.Name(value=other)):
                return f"{other}[{_place_of(name, whole)}]"
            case ((cst.Tuple() | cst.List()), (cst.Tuple() | cst.List())) if len(whole.elements) == len(part.elements):
                element = part.elements[_place_of(name, whole)].value
                if isinstance(element, cst.Name) and element.value == "_":
                    self.edits.replace(element, name)
                    return name
                if isinstance(element, cst.Name):
                    return element.value
            case _:
                pass
        raise FixNotApplicable("the count takes the micro-batch apart in another way than the loss")


def _place_of(name: str, whole: cst.Tuple | cst.List) -> int:
    for index, element in enumerate(whole.elements):
        if isinstance(element.value, cst.Name) and element.value.value == name:
            return index
    raise FixNotApplicable(f"{name} is no element of the micro-batch")


def _renamed(expression: cst.BaseExpression, names: dict[str, str]) -> cst.BaseExpression:
    class Renamed(cst.CSTTransformer):
        def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:
            return updated_node.with_changes(attr=original_node.attr)  # no name of its own

        def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
            text = names.get(original_node.value)
            return updated_node if text is None else cst.parse_expression(text)

    renamed = expression.visit(Renamed())
    assert isinstance(renamed, cst.BaseExpression)
    return renamed
