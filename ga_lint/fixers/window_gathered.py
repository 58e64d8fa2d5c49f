"""The means of a window are gathered, and one backward runs on their average: gather sums, divide by the count (GA101).

Places: `call`, the cross-entropy call in the loop over the window (`constructor`: where its object was built);
`division`, the gathered losses over the number of micro-batches. Options: those of window-sum.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.counting import counting_of
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.header import header_of, named_window, refuse_unsound_body
from ga_lint.fixers.names import fresh_name, names_in, occurrences
from ga_lint.fixers.reduction import reduce_call
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.tree import Tree
from ga_lint.fixers.window_sum import count_before


@fixer("window-gathered")
def window_gathered(target: Target, edits: Edits) -> None:
    tree = target.tree
    call = tree.find(target.span("call"), cst.Call)
    loop = tree.enclosing(call, cst.For)
    division = target.division()
    line = tree.statement_of(division.whole)
    if loop is None or tree.parent(loop) is not tree.parent(line):
        raise FixNotApplicable("the gathered losses are not divided right behind the loop over the window")
    header = header_of(tree, loop)
    window = named_window(edits, header)
    _refuse_other_uses(tree, loop, call, _gathered_name(tree, division.left), division.whole)
    refuse_unsound_body(tree, header, tree.span_of(call), window)
    counting = counting_of(target, header, target.option_or("ignore_index", ""))
    targets = fresh_name(tree, loop, "targets", "target_count")
    edits.insert_before(loop, count_before(target, edits, header, window, counting, targets))
    constructors = [tree.find(span, cst.Call) for span in target.spans("constructor")]
    reduce_call(edits, call, constructors, '"sum"')
    edits.replace(division.right, targets)


def _gathered_name(tree: Tree, gathered: cst.BaseExpression) -> str:
    """`total`, or `losses` in `sum(losses)`."""
    match gathered:
        case cst.Name(value=name) | cst.Call(func=cst.Name(value="sum"), args=[cst.Arg(value=cst.Name(value=name))]):
            return name
        case _:
            raise FixNotApplicable(f"`{tree.code(gathered)}` is no sum of gathered losses that has a name")


def _refuse_other_uses(tree: Tree, loop: cst.For, call: cst.Call, name: str, whole: cst.CSTNode) -> None:
    """Is the cross-entropy all that is gathered, and nobody else reads it, or what it is gathered in?"""
    function = tree.scope_of(loop)
    line = tree.statement_of(call)
    gathers, read = line, tree.code(call)
    match line.body[0]:
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=one))], value=value) if (
            value is call and one != name
        ):
            rest = [each for each in loop.body.body if one in names_in(each) and each is not line]
            if len(rest) != 1 or occurrences(function, one) != 2 or not isinstance(rest[0], cst.SimpleStatementLine):
                raise FixNotApplicable(f"{one} is read for something else than the sum of the window")
            gathers, read = rest[0], one
    if tree.parent(gathers) is not loop.body or not _adds(tree, gathers.body[0], name, read):
        row = tree.span_of(gathers).start.row
        raise FixNotApplicable(f"what is gathered on line {row} is not the loss alone")
    known = occurrences(gathers, name) + occurrences(whole, name) + 1  # and where it starts
    if occurrences(function, name) != known:
        raise FixNotApplicable(f"{name} is read or changed elsewhere too")


def _adds(tree: Tree, statement: cst.BaseSmallStatement, name: str, loss: str) -> bool:
    """`total += loss`, `total = total + loss`, `losses.append(loss)`."""
    return tree.code(statement).rstrip() in (f"{name} += {loss}", f"{name} = {name} + {loss}", f"{name}.append({loss})")
