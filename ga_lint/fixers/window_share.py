"""A mean is averaged over a ragged window: weigh each micro-batch by its share of the window's targets (GA101, GA102).

Places: `loop`, the `for` over micro-batches; `division`, the `loss / steps` to turn into `loss * share`, or `backward`
where nobody divides by hand; `step`, the call in the loop that steps the optimizer (not for accelerate). A `while` is
handed over to `window_gradients`.
Options: `steps`; `stack`: "plain" (one process), "distributed" (DDP, FSDP, Fabric: the stack averages over ranks),
"accelerate" (the loop runs under `accelerator.accumulate`), with `accelerator`, the object's text, or "deepspeed", with
`engine`; `divided_by`, the steps by which `accelerator.backward` divides outside `accumulate` too; `loss`, "sum" where
the loss is a sum already, and `division` divides it by another number than the window's targets; and how targets are
counted (see `counting`).

The loader is wrapped in a small class that looks one window ahead; the loop keeps its shape. Under accelerate, the
look-ahead would show the end of the loader to `accumulate()` a whole window too early, so the class sets it itself.
"""

from __future__ import annotations

import libcst as cst
from msgspec.structs import replace

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import Division, division_of, replace_division
from ga_lint.fixers.counters import replace_count
from ga_lint.fixers.counting import Counting, counting_of
from ga_lint.fixers.divide_by_steps import loss_of, scale_backward
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.gate import Gate, gate_of
from ga_lint.fixers.header import Header, header_of, refuse_unsound_body, wrap_loader
from ga_lint.fixers.helpers import insert_helper
from ga_lint.fixers.imports import distributed_module, import_module
from ga_lint.fixers.kept_targets import refuse_left_out
from ga_lint.fixers.logged import keep_mean
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
    division = _division(target, header)
    sums = target.option_or("loss", "mean") == "sum"
    steps = target.option("steps") if division is None or sums else _steps_of(division, target)
    used = target.span("backward") if division is None else tree.span_of(division.whole)
    refuse_unsound_body(tree, header, used, steps)
    for span in target.spans("backward"):
        refuse_left_out(tree, loop, tree.find(span, cst.Call))
    counting = counting_of(target, header, "self.ignore_index")
    total = _sum(target, header, division)
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
    if division is not None:
        _weigh_division(target, edits, total, division, shares, steps, weight)
    elif total is not None:
        weigh_backward(edits, total, shares)
    else:
        scale_backward(edits, tree.find(target.span("backward"), cst.Call), "*", weight)


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


def _weigh_division(
    target: Target, edits: Edits, total: Sum | None, division: Division, shares: Shares, steps: str, weight: str
) -> None:
    line = target.tree.statement_of(division.whole)
    for span in target.spans("backward") if total is None else ():
        backward = target.tree.find(span, cst.Call)
        if keep_mean(edits, target.loop(), division, backward):
            scale_backward(edits, backward, "*", weight)
            _explain(edits, target.tree.statement_of(backward))
            return
    if total is None:
        replace_division(edits, division, weight)
        _explain(edits, line)
    else:
        weigh_division(edits, total, division, shares)
    _unguard(edits, line, {steps, target.option("steps")})


def _sum(target: Target, header: Header, division: Division | None) -> Sum | None:
    """The loss as a sum whose terms need a share each; None where it is one mean."""
    tree = target.tree
    whole: cst.CSTNode
    whole, loss = (division.whole, division.left) if division is not None else _handed_over(target)
    total = sum_of(tree, header.loop, loss, tree.span_of(tree.statement_of(whole)).start, division)
    Summands(tree, header.loop).refuse_unseen(target.spans("added"), () if total is None else total.summands)
    return total


def _handed_over(target: Target) -> tuple[cst.CSTNode, cst.BaseExpression]:
    backward = target.tree.find(target.span("backward"), cst.Call)
    return backward, loss_of(backward)


def _division(target: Target, header: Header) -> Division | None:
    tree = target.tree
    if not target.spans("division"):
        return None
    node = tree.find(target.span("division"), cst.BinaryOperation, cst.AugAssign, cst.Call)
    if header.loop not in tree.around(node):
        raise FixNotApplicable("the loss is divided outside the loop, where the share is not known")
    return division_of(node)


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
