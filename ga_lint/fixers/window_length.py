"""The last window may be shorter: divide by what the loader has left for it, not by the full steps (GA108, GA102).

Places: `loop`, the `for` over micro-batches; `division`, the `loss / steps`, or `backward` where nobody divides;
`step`, the call in the loop that steps the optimizer. Options: `steps`, the text of the steps in the gate; `behind`,
"yes" where the optimizer steps behind the loop too.

A window is as long as the steps, or as what is left behind the whole windows before it. Where the divided loss is
multiplied again for a log line, that takes the same number.
"""

from __future__ import annotations

import ast

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, divided_name, factor_text
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.divide_by_steps import scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.gate import gate_of
from ga_lint.fixers.gate_reader import Reader, assignments_of
from ga_lint.fixers.header import Header, header_of, refuse_unsound_body
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Statement, Tree, dotted


@fixer("window-length")
def window_length(target: Target, edits: Edits) -> None:
    tree = target.tree
    found = target.loop()
    if not isinstance(found, cst.For):
        raise FixNotApplicable("the loop draws its micro-batches itself, so how many are left is not in sight")
    loop: cst.For = found
    header = header_of(tree, loop)
    division = _division(target)
    whole = tree.find(target.span("backward"), cst.Call) if division is None else division.whole
    if loop not in tree.around(whole):
        raise FixNotApplicable("the loss is divided outside the loop")
    steps = target.option("steps") if division is None else tree.code(division.right)
    step = tree.find(target.span("step"), cst.Call)
    reader = Reader(tree, header, step, (steps, target.option("steps")))
    length = _length(tree, header, reader)
    refuse_unsound_body(tree, header, tree.span_of(whole), steps, length)
    _refuse_other_windows(target, header, step, steps)
    logged = [] if division is None else _multiplied_again(tree, loop, division)
    line = _line(tree, whole, logged)
    index, first = reader.index_at(tree.span_of(line).start)
    _refuse_moved_index(tree, header, index)
    name = fresh_name(tree, loop, "window_length", "length_of_window")
    factor = factor_text(tree, tree.parse_expression(steps) if division is None else division.right)
    before = f"{index if first == 0 else f'({index} - {first})'} // {factor} * {factor}"
    edits.insert_before(line, _minimum(tree, line, name, steps, f"{length} - {before}"))
    if isinstance(whole, cst.Call) and division is None:
        scale_backward(edits, whole, "/", name)
    for each in logged if division is None else (division.right, *logged):
        edits.replace(each, name)


def _division(target: Target) -> Division | None:
    if not target.spans("division"):
        return None
    return target.division()


def _minimum(tree: Tree, line: Statement, name: str, steps: str, left: str) -> str:
    indent = tree.span_of(line).start.column - 1
    if indent + len(f"{name} = min({steps}, {left})") <= MAX_WIDTH:
        return f"{name} = min({steps}, {left})\n"
    inside = f"{steps}, {left}" if indent + 4 + len(f"{steps}, {left}") <= MAX_WIDTH else f"{steps},\n    {left},"
    return f"{name} = min(\n    {inside}\n)\n"


def _length(tree: Tree, header: Header, reader: Reader) -> str:
    """The number of micro-batches: as the gate reads it, or as the file asks for it elsewhere."""
    lengths = {f"len({loader})" for loader in header.loader_names}
    todo, seen = [test for test, _ in reader.tests], set[str]()
    while todo:
        for node in ast.walk(todo.pop(0)):
            text = ast.unparse(node)
            if text in lengths:
                return text
            if not isinstance(node, ast.Name) or text in seen:
                continue
            seen.add(text)
            for value, where in assignments_of(reader.scope(), text):
                if header.loop in tree.around(where):
                    todo.append(reader.expression(value))
                elif tree.code(value) in lengths:
                    return text
    for loader in sorted(header.loader_names):
        if f"len({loader})" in tree.source.text or _is_loader(tree, reader, loader):
            return f"len({loader})"
    raise FixNotApplicable(f"whether {tree.code(header.loader)} has a length is not known")


def _is_loader(tree: Tree, reader: Reader, name: str) -> bool:
    """Is it a DataLoader that is built in sight, of no stream?"""
    values = [value for value, _ in assignments_of(reader.scope(), name)]
    built = [value for value in values if isinstance(value, cst.Call) and dotted(value.func) is not None]
    loaders = [call for call in built if (dotted(call.func) or "").rpartition(".")[2] == "DataLoader"]
    return bool(values) and len(loaders) == len(values) and "Iterable" not in tree.source.text


def _refuse_other_windows(target: Target, header: Header, step: cst.Call, steps: str) -> None:
    """Does the loop step after every window, counted from the first micro-batch on, and on what is left over?"""
    tree = target.tree
    gate = gate_of(tree, header, step, (steps, target.option("steps")))
    if gate.seen:
        raise FixNotApplicable("the first window is shorter too")
    if gate.flushes:
        return
    if target.option("behind") != "yes":
        raise FixNotApplicable("what is left over at the loader's end is not stepped on")
    if any(tree.enclosing(each, cst.For, cst.While) is header.loop for each in tree.inside(header.loop, cst.Break)):
        raise FixNotApplicable("the loop may be left before the loader ends, and steps on what is left over then")


def _multiplied_again(tree: Tree, loop: cst.For, division: Division) -> list[cst.BaseExpression]:
    """The steps in `loss.item() * steps`, where what was divided is taken back for a log line."""
    divided = divided_name(tree, division)
    steps, end = tree.code(division.right), tree.span_of(tree.statement_of(division.whole)).end
    found: list[cst.BaseExpression] = []
    for product in tree.inside(loop.body, cst.BinaryOperation):
        if not isinstance(product.operator, cst.Multiply) or tree.span_of(product).start < end:
            continue
        for side, other in ((product.left, product.right), (product.right, product.left)):
            if tree.code(side) == steps and divided is not None and divided in names_in(other):
                found.append(side)
                break
    return found


def _line(tree: Tree, whole: cst.CSTNode, logged: list[cst.BaseExpression]) -> Statement:
    """Above which statement the length is worked out: where every line that reads it comes by."""
    line: Statement = tree.statement_of(whole)
    while not all(tree.block_of(line) in tree.around(each) for each in logged):
        line = next(one for one in tree.around(line) if isinstance(one, Statement))
    return line


def _refuse_moved_index(tree: Tree, header: Header, index: str) -> None:
    """The head's own index must be what the head made it."""
    if index != header.index:
        return
    if any(index in names_in(each.target) for each in bindings_in(tree, header.loop.body)):
        raise FixNotApplicable(f"{index} changes in the loop body")
