"""The micro-batches of a window are at hand before they run: count their targets, then divide by that (GA101).

Places: `loop`, the inner `for` over one window; `division`, each `loss / steps`; `call`, the cross-entropy call, if it
is in the loop (`constructor`: where its object was built); `fetch`, the statement that draws a micro-batch, first in
the body of a counted loop (`for _ in range(steps)`); none where the loop runs over a list. `backward` and `step`, the
calls: where micro-batches are drawn in a way that cannot be collected before, it is handed over to `window_gradients`.
Options: `stack`, "plain" or "distributed"; `divided_by`, what the stack divides by besides; `loss`, "sum" where the
loss is a sum already, and `division` divides it by another number than the window's targets; and how targets are
counted (see `counting`), in the names that the loop or `fetch` binds.

With the call in sight the loss becomes a sum over the window's count. Otherwise, and where the mean is also read for a
log line, the mean is multiplied by the micro-batch's own count.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import replace_division
from ga_lint.fixers.counters import replace_count
from ga_lint.fixers.counting import Counting, counting_of
from ga_lint.fixers.divide_by_steps import scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.header import Header, header_of, named_window, refuse_unsound_body
from ga_lint.fixers.imports import distributed_module
from ga_lint.fixers.kept_targets import refuse_left_out, refuse_taken_out
from ga_lint.fixers.logged import is_read_undivided, keep_mean, note_parts
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.reduction import reduce_call
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.summands import Summands
from ga_lint.fixers.tree import Tree
from ga_lint.fixers.window_gradients import window_gradients


@fixer("window-sum")
def window_sum(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = tree.find(target.span("loop"), cst.For)
    divisions = target.divisions()
    if any(loop not in tree.around(one.whole) for one in divisions):
        raise FixNotApplicable("the loss is divided outside the loop over the window")
    if not _is_collectable(target, loop):
        if not target.spans("step"):  # the optimizer steps in another file
            raise FixNotApplicable("the micro-batch is not drawn first, so its window cannot be collected")
        window_gradients(target, edits)
        return
    terms = Summands(tree, loop, target.spans("whole"))
    for one in divisions:
        terms.refuse_several(one.left, tree.span_of(tree.statement_of(one.whole)).start)
    terms.refuse_unseen(target.spans("added"))
    header, window = _window(target, edits, loop)
    refuse_unsound_body(tree, header, max(tree.span_of(one.whole) for one in divisions), window)
    counting = counting_of(target, header, target.option_or("ignore_index", ""))
    targets = fresh_name(tree, loop, "targets", "target_count")
    edits.insert_before(loop, count_before(target, edits, header, window, counting, targets))
    for call in target.backwards():
        refuse_left_out(tree, loop, call)
    if target.option_or("loss", "mean") == "sum":
        replace_count(edits, loop, target.division(), target.option("divisor"), targets)
    else:
        _divide_means(target, edits, loop, counting.expression, targets)


def _divide_means(target: Target, edits: Edits, loop: cst.For, count: str, targets: str) -> None:
    """Make of each mean its sum over the window's targets: by the call where that is in sight, else by its own count.

    `count` is the expression of a micro-batch's own count, `targets` the name of the window's.
    """
    tree, divisions, backwards = target.tree, target.divisions(), target.backwards()
    division, alone = divisions[0], len(divisions) == 1
    calls = [tree.find(span, cst.Call) for span in target.spans("call")]
    share = f"{count} / {targets}"
    if alone and len(backwards) == 1 and keep_mean(edits, loop, division, backwards[0]):
        refuse_taken_out(tree, loop, _counted_in_loop(target))
        scale_backward(edits, backwards[0], "*", share)
        return
    for one in divisions:
        note_parts(edits, loop, one)
    summed = alone and len(calls) == 1 and _is_only_scaled(tree, calls[0])
    if summed and not is_read_undivided(tree, loop, calls[0], division):
        constructors = [tree.find(span, cst.Call) for span in target.spans("constructor")]
        reduce_call(edits, calls[0], constructors, '"sum"')
        edits.replace(division.right, targets)
        return
    refuse_taken_out(tree, loop, _counted_in_loop(target))
    for one in divisions:
        replace_division(edits, one, share)


def _is_only_scaled(tree: Tree, call: cst.Call) -> bool:
    """Is the loss multiplied and divided at most on its line? `F.cross_entropy(...).clamp(max=5)` is for means."""
    outer = tree.parent(call)
    while isinstance(outer, cst.BinaryOperation) and isinstance(outer.operator, cst.Multiply | cst.Divide):
        outer = tree.parent(outer)
    return isinstance(outer, cst.Assign | cst.AnnAssign | cst.Arg)


def _counted_in_loop(target: Target) -> str:
    """What a micro-batch's own count reads while the loop runs."""
    return target.option_or("mask", "") or target.option("labels")


def _window(target: Target, edits: Edits, loop: cst.For) -> tuple[Header, str]:
    """The loop as one over the window, and the window's name; a counted loop is turned into one over a list."""
    tree = target.tree
    fetches = target.spans("fetch")
    if not fetches:
        header = header_of(tree, loop)
        return header, named_window(edits, header)
    fetch = tree.find(fetches[0], cst.Assign)
    line = tree.statement_of(fetch)
    counter, steps = _counted(tree, loop)
    window = fresh_name(tree, loop, "window", "micro_batches")
    bound = fetch.targets[0].target
    text = tree.code(bound)
    edits.insert_before(loop, f"{window} = [{tree.code(fetch.value)} for _ in range({steps})]\n")
    edits.remove(line)
    edits.replace(loop.iter, window if counter == "_" else f"enumerate({window})")
    pair = f"({text})" if isinstance(bound, cst.Tuple) and not bound.lpar else text
    edits.change(loop.target, lambda _: tree.parse_expression(text if counter == "_" else f"{counter}, {pair}"))
    return Header(loop, fetch.value, bound, None, "0", frozenset(), False), window


def _is_collectable(target: Target, loop: cst.For) -> bool:
    """Can the micro-batches be drawn before the loop over them runs, or are they there already?"""
    tree = target.tree
    if not tree.code(loop.iter).startswith("range("):
        return True
    if not isinstance(loop.iter, cst.Call) or len(loop.iter.args) != 1:
        return False
    for span in target.spans("fetch"):
        fetch = tree.find(span, cst.Assign)
        first = loop.body.body[0] is tree.statement_of(fetch)
        return first and len(fetch.targets) == 1 and _counted(tree, loop)[0] not in names_in(fetch.value)
    return False


def _counted(tree: Tree, loop: cst.For) -> tuple[str, str]:
    """`i` and `steps` of `for i in range(steps)`."""
    match loop:
        case cst.For(
            target=cst.Name(value=counter), iter=cst.Call(func=cst.Name(value="range"), args=[cst.Arg(value=steps)])
        ):
            return counter, tree.code(steps)
        case _:
            raise FixNotApplicable("the inner loop does not count its micro-batches with range(steps)")


def count_before(target: Target, edits: Edits, header: Header, window: str, counting: Counting, name: str) -> str:
    """The lines above the loop that count the window, on all ranks where there are several."""
    each = f"{counting.expression} for {header.target_text(target.tree)} in {window}"
    if target.option("stack") == "plain":
        return f"{name} = max({counting.number}(sum({each})), 1)\n"
    distributed = distributed_module(edits)
    counts = fresh_name(target.tree, header.loop, "counts", "rank_counts")
    again = target.option_or("divided_by", "")
    divided, why = (f" / {again}", ", and divided by the steps") if again else ("", "")
    return (
        f"{counts} = [{counting.number}(sum({each}))]\n"
        f"if {distributed}.is_initialized():\n"
        f"    {counts} *= {distributed}.get_world_size()\n"
        f"    {distributed}.all_gather_object({counts}, {counts}[0])\n"
        f"{name} = max(sum({counts}), 1) / len({counts}){divided}  # gradients are averaged over ranks{why}\n"
    )
