"""A mean is averaged over a ragged window: weigh each micro-batch by its share of the window's targets (GA101, GA102).

Places: `loop`, the `for` over micro-batches; `division`, each `loss / steps` to turn into `loss * share`; `backward`,
each call in the loop, which takes the share where nobody divides by hand; `step`, the call in the loop that steps the
optimizer (not for accelerate). A `while` is handed over to `window_gradients`.
Options: `steps`; `stack`: "plain" (one process), "distributed" (DDP, FSDP, Fabric: the stack averages over ranks),
"accelerate" (the loop runs under `accelerator.accumulate`), with `accelerator`, the object's text, or "deepspeed", with
`engine`; `divided_by`, the steps by which `accelerator.backward` divides outside `accumulate` too; `loss`, "sum" where
the loss is a sum already, and `division` divides it by another number than the window's targets; and how targets are
counted (see `counting`).

The loader is wrapped in a small class that looks one window ahead; the loop keeps its shape. Under accelerate, the
look-ahead would show the end of the loader to `accumulate()` a whole window too early, so the class sets it itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst
from msgspec.structs import replace

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, replace_division
from ga_lint.fixers.counters import replace_count
from ga_lint.fixers.counting import Counting, counting_of
from ga_lint.fixers.divide_by_steps import loss_of, scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.gate import Gate, gate_of
from ga_lint.fixers.header import Header, header_of, refuse_unsound_body, wrap_loader
from ga_lint.fixers.helpers import insert_helper
from ga_lint.fixers.imports import distributed_module, import_module
from ga_lint.fixers.kept_targets import refuse_left_out
from ga_lint.fixers.logged import keep_mean, note_parts
from ga_lint.fixers.names import fresh_name
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.summands import Summands
from ga_lint.fixers.tree import Tree
from ga_lint.fixers.weights import Shares, Sum, sum_of, weigh_backward, weigh_division
from ga_lint.fixers.window_gradients import window_gradients
from ga_lint.fixers.window_texts import accelerate_text, engine_text, share_text

_COMMENT = "# this micro-batch's share of the window's targets"


@fixer("window-share")
def window_share(target: Target, edits: Edits) -> None:
    tree = target.tree
    loop = target.loop()
    if isinstance(loop, cst.While):
        window_gradients(target, edits)
        return
    assert isinstance(loop, cst.For)
    header = header_of(tree, loop)
    divisions = _divisions(target, header)
    division = divisions[0] if divisions else None
    sums = target.option_or("loss", "mean") == "sum"
    steps = target.option("steps") if division is None or sums else _steps_of(division, target)
    used = [one.whole for one in divisions] or target.backwards()
    refuse_unsound_body(tree, header, max(map(tree.span_of, used)), steps)
    for call in target.backwards():
        refuse_left_out(tree, loop, call)
    counting = counting_of(target, header, "self.ignore_index")
    losses = [one.left for one in divisions] or [loss_of(call) for call in target.backwards()]
    total = _sum(target, header, used, losses, division)
    again = target.option_or("divided_by", "")
    if again and (sums or total is not None):
        raise FixNotApplicable(f"the loss is divided by `{again}` besides, and is a sum")
    if division is not None and sums:
        _divide_by_targets(target, edits, header, counting, total, division)
        return
    share = fresh_name(tree, header.loop, "share", "target_share")
    equal = fresh_name(tree, header.loop, "equal_share", "forward_share")
    full = target.option("stack") == "deepspeed"  # an engine's windows always are
    shares = Shares(share, None if total is None or full else equal)
    _wrap(target, edits, header, steps, counting, shares)
    weight = f"{share} * {again}" if again else share
    if divisions:
        _weigh_divisions(target, edits, total, divisions, shares, steps, weight)
    elif total is not None:
        weigh_backward(edits, total, shares)
    else:
        for call in target.backwards():
            scale_backward(edits, call, "*", weight)


def _steps_of(division: Division, target: Target) -> str:
    """The divisor as the user wrote it, which reads better than what a rule has traced it back to.

    A window is cut by it: a number with a point, or `float(steps)`, is none that `islice` takes.
    """
    match division.right:
        case cst.Call(
            func=cst.Name(value="float" | "int"), args=[cst.Arg(value=cst.Name() | cst.Attribute() as inner)]
        ):
            return target.tree.code(inner)
        case cst.Name() | cst.Attribute() | cst.Integer() | cst.Subscript():
            return target.tree.code(division.right)
    return target.option("steps")


def _divide_by_targets(
    target: Target, edits: Edits, header: Header, counting: Counting, total: Sum | None, division: Division
) -> None:
    """The sum over a micro-batch, divided by the targets of its window; a counter that nothing else reads goes."""
    tree = target.tree
    if total is not None:
        raise FixNotApplicable("the loss is a sum of terms; each needs a divisor of its own")
    name = fresh_name(tree, header.loop, "window_targets", "targets_in_window")
    _wrap(target, edits, header, target.option("steps"), counting, Shares(name, None), sums=True)
    replace_count(edits, header.loop, division, target.option("divisor"), name)


def _wrap(
    target: Target, edits: Edits, header: Header, steps: str, counting: Counting, shares: Shares, *, sums: bool = False
) -> None:
    """Insert the class and put it around the loader."""
    tree, stack = target.tree, target.option("stack")
    bound, equal = header.target_text(tree), shares.equal is not None
    if stack == "accelerate":
        _refuse_unlike_accumulate(tree, header)
        windows, text = target.option("accelerator"), accelerate_text(bound, counting, equal, sums)
    elif stack == "deepspeed":
        _refuse_end_of_loader(tree, header)
        edits.note(
            "micro-batches at the loader's end that fill no window are not run: the engine takes no step on them"
        )
        itertools, distributed = import_module(edits, "itertools"), distributed_module(edits)
        windows, text = target.option("engine"), engine_text(itertools, bound, counting, distributed, sums)
    else:
        gate = _gate(target, header, steps)
        ranks = distributed_module(edits) if stack == "distributed" else None
        itertools = import_module(edits, "itertools")
        windows = f"{steps}, {gate.seen}" if gate.seen else steps
        text = share_text(itertools, bound, counting, gate, ranks, equal, sums)
    name = insert_helper(edits, header.loop, "WithWindowTargets" if sums else "WithTargetShare", text)
    extra = f", ignore_index={counting.given}" if counting.given else ""
    names = (shares.targets,) if shares.equal is None else (shares.targets, shares.equal)
    loader = tree.code(header.loader)
    bare = isinstance(header.loader, cst.GeneratorExp) and not header.loader.lpar
    wrap_loader(edits, header, f"{name}({f'({loader})' if bare else loader}, {windows}{extra})", names)


def _weigh_divisions(
    target: Target,
    edits: Edits,
    total: Sum | None,
    divisions: Sequence[Division],
    shares: Shares,
    steps: str,
    weight: str,
) -> None:
    backwards = target.backwards()
    one_each = total is None and len(divisions) == len(backwards) == 1
    if one_each and keep_mean(edits, target.loop(), divisions[0], backwards[0]):
        scale_backward(edits, backwards[0], "*", weight)
        _explain(edits, target.tree.statement_of(backwards[0]))
        return
    for division in divisions:
        line = target.tree.statement_of(division.whole)
        note_parts(edits, target.loop(), division)
        if total is None:
            replace_division(edits, division, weight)
            _explain(edits, line)
        else:
            weigh_division(edits, total, division, shares)
        _unguard(edits, line, {steps, target.option("steps")})


def _sum(
    target: Target,
    header: Header,
    used: Sequence[cst.CSTNode],
    losses: Sequence[cst.BaseExpression],
    division: Division | None,
) -> Sum | None:
    """The loss as a sum whose terms need a share each; None where it is one mean."""
    tree = target.tree
    starts = [tree.span_of(tree.statement_of(whole)).start for whole in used]
    terms = Summands(tree, header.loop, target.spans("whole"))
    totals = [sum_of(terms, loss, start, division) for loss, start in zip(losses, starts, strict=True)]
    total = totals[0]
    if len(totals) > 1 and any(totals):
        raise FixNotApplicable("the loss is a sum of terms, and is divided or runs backward in several places")
    terms.refuse_unseen(target.spans("added"), () if total is None else total.summands)
    return total


def _divisions(target: Target, header: Header) -> list[Division]:
    divisions = target.divisions()
    if any(header.loop not in target.tree.around(one.whole) for one in divisions):
        raise FixNotApplicable("the loss is divided outside the loop, where the share is not known")
    return divisions


def _refuse_unlike_accumulate(tree: Tree, header: Header) -> None:
    if "sync_with_dataloader" in tree.source.text:
        raise FixNotApplicable("the accumulation plugin may carry windows over the end of the loader")
    if header.is_bar:
        raise FixNotApplicable(f"{tree.code(header.loader)} is a progress bar around the loader, not the loader")


def _refuse_end_of_loader(tree: Tree, header: Header) -> None:
    """An engine's windows reach over the loader's end, so what fills none is not drawn: that end is never seen."""
    body = tree.code(header.loop.body)
    if any(f"len({name})" in body for name in header.loader_names):
        raise FixNotApplicable("the loop waits for its last batch, which the engine may take no step on")


def _gate(target: Target, header: Header, steps: str) -> Gate:
    """Where windows end; a step that follows the last, shorter one may stand right behind the loop."""
    tree = target.tree
    step = tree.find(target.span("step"), cst.Call)
    gate = gate_of(tree, header, step, (steps, target.option("steps")))
    if gate.flushes:
        return gate
    block = tree.block_of(header.loop)
    following = block.body[list(block.body).index(header.loop) + 1 :]
    if any(f"{tree.code(step.func)}(" in tree.code(line) for line in following):
        return replace(gate, flushes=True)
    return gate


def _unguard(edits: Edits, line: cst.SimpleStatementLine, steps: set[str]) -> None:
    """`if steps > 1: loss = loss / steps`: the share is right for one step too, and ranks need it even then."""
    outer = edits.tree.enclosing(line, cst.If)
    if outer is None or list(outer.body.body) != [line] or outer.orelse is not None:
        return
    test = edits.tree.code(outer.test)
    if any(text in test for text in steps):
        edits.change(outer, _body_alone)


def _body_alone(guard: cst.If) -> cst.CSTNode:
    line = guard.body.body[0]
    assert isinstance(line, cst.SimpleStatementLine)
    return line.with_changes(leading_lines=[*guard.leading_lines, *line.leading_lines])


def _explain(edits: Edits, line: cst.SimpleStatementLine) -> None:
    row = edits.tree.span_of(line).end.row
    room = len(edits.tree.source.lines[row - 1]) + len(_COMMENT) + 4 <= 120
    if line.trailing_whitespace.comment is None and room:
        comment = cst.TrailingWhitespace(whitespace=cst.SimpleWhitespace("  "), comment=cst.Comment(_COMMENT))
        edits.change(line, lambda node: node.with_changes(trailing_whitespace=comment))
