"""A `training_step` returns a token mean that Lightning averages: return the sum, divide once by the count (GA301).

Places: `method`, the definition of training_step; `returned`, each expression that it returns the loss as; `wrapped`,
each that holds the loss under "loss"; `call`, the call that computes the loss, where its targets are passed to it here;
`summed`, the same, where it can give the sum itself (`constructor`: where its object was built); `reduced`, where it
becomes one number, if that is here.
Options: how targets are counted (see `counting`), in names of training_step's own; `index`, "yes" where the project's
Lightning tells hooks which optimizer it is.

The count lives in an attribute, from one optimizer step to the next. Lightning calls the hook once a window, when the
gradients are there (unscaled) and before it clips them; a last, shorter window is divided by as many batches as any
other. What is logged stays a mean.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import as_factor
from ga_lint.fixers.bindings import bindings_in, names_bound
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.lightning_class import ATTRIBUTE, add_hook, initialise, refuse_other_readers
from ga_lint.fixers.moving_factors import refuse_moving_factors
from ga_lint.fixers.names import fresh_name, names_in, names_known_at, occurrences
from ga_lint.fixers.reduction import reduce_call
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import parameter_name
from ga_lint.fixers.terms import refuse_sums
from ga_lint.fixers.tree import Tree, dotted

_MOVES = frozenset(("to", "cuda"))
_SHAPES = frozenset("view reshape flatten contiguous long to squeeze".split())


@fixer("lightning-count")
def lightning_count(target: Target, edits: Edits) -> None:
    tree = target.tree
    method = tree.find(target.span("method"), cst.FunctionDef)
    owner = tree.class_of(method)
    attribute = ATTRIBUTE if f".{ATTRIBUTE}" not in tree.source.text else f"{ATTRIBUTE}_seen"
    refuse_other_readers(tree, owner, method)
    losses = _losses(target, method)
    for loss in losses:
        refuse_sums(tree, method.body, loss, target.spans("added"))
    _refuse_moving_factors(target, method, losses)
    count = _count(target, method)
    held = f"{parameter_name(method, 0)}.{attribute}"
    if _is_summed(target, method, losses):
        constructors = [tree.find(span, cst.Call) for span in target.spans("constructor")]
        reduce_call(edits, tree.find(target.span("summed"), cst.Call), constructors, '"sum"')
        for loss in losses:
            edits.insert_before(tree.statement_of(loss), f"{held} += {count}\n")
    else:
        name = fresh_name(tree, method.body, "targets", "target_count")
        for loss in losses:
            edits.insert_before(tree.statement_of(loss), f"{name} = {count}\n{held} += {name}\n")
            edits.change(loss, lambda node: cst.BinaryOperation(as_factor(node), cst.Multiply(), cst.Name(name)))
    initialise(edits, owner, attribute)
    add_hook(edits, owner, method, attribute, target.option("index") == "yes")


def _losses(target: Target, method: cst.FunctionDef) -> list[cst.BaseExpression]:
    """The expressions of the loss: what each `return` gives, or what stands under "loss" in it."""
    tree = target.tree
    returned = [tree.expression(span) for span in target.spans("returned")]
    wrapped = [tree.expression(span) for span in target.spans("wrapped")]
    for line in tree.inside(method.body, cst.Return):
        empty = line.value is None or tree.code(line.value) == "None"
        if tree.enclosing(line, cst.FunctionDef) is method and not empty and line.value not in (*returned, *wrapped):
            raise FixNotApplicable(f"the loss that line {tree.span_of(line).start.row} returns could not be followed")
    return [*returned, *(_entry(tree, method, each) for each in wrapped)]


def _refuse_moving_factors(target: Target, method: cst.FunctionDef, losses: list[cst.BaseExpression]) -> None:
    """From where the loss is reduced on; from its first name on where that is in a helper."""
    tree = target.tree
    values = [tree.expression(span) for span in target.spans("reduced")]
    lines = [tree.statement_of(value) for value in values]
    names = {name for line in lines for name in names_bound(tree, line)}
    returned = {loss.value for loss in losses if isinstance(loss, cst.Name)}
    for each in [] if lines else bindings_in(tree, method.body):
        if returned & names_in(each.target) and not isinstance(each.target, cst.Attribute | cst.Subscript):
            lines, names = [tree.statement_of(each.node)], returned
            break
    if lines and names:
        start = min(tree.span_of(line).end for line in lines)
        last = tree.span_of(method).end  # nothing is divided before the step returns
        refuse_moving_factors(tree, method, dict.fromkeys(names, start), dict.fromkeys(names, last), values)


def _entry(tree: Tree, method: cst.FunctionDef, whole: cst.BaseExpression) -> cst.BaseExpression:
    """`x` of `{"loss": x, ...}` or of `dict(loss=x)`, written there or bound to the name once."""
    if isinstance(whole, cst.Name):
        values = [
            each.value
            for each in tree.inside(method.body, cst.Assign)
            if len(each.targets) == 1 and tree.code(each.targets[0].target) == whole.value
        ]
        if len(values) == 1:
            return _entry(tree, method, values[0]) if not isinstance(values[0], cst.Name) else _refuse(tree, whole)
    if isinstance(whole, cst.Dict):
        for element in whole.elements:
            if isinstance(element, cst.DictElement) and tree.code(element.key).strip("'\"") == "loss":
                return element.value
    if isinstance(whole, cst.Call) and dotted(whole.func) == "dict":
        for arg in whole.args:
            if arg.keyword is not None and arg.keyword.value == "loss":
                return arg.value
    return _refuse(tree, whole)


def _refuse(tree: Tree, whole: cst.BaseExpression) -> cst.BaseExpression:
    raise FixNotApplicable(f"the loss in what line {tree.span_of(whole).start.row} returns is set elsewhere")


def _is_summed(target: Target, method: cst.FunctionDef, losses: list[cst.BaseExpression]) -> bool:
    """Is the call's value returned and not read anywhere else, for a log line?"""
    tree = target.tree
    if not target.spans("summed") or len(losses) != 1:
        return False
    call = tree.find(target.span("summed"), cst.Call)
    if losses[0] is call:
        return True
    assign = tree.parent(call)
    return (
        isinstance(losses[0], cst.Name)
        and isinstance(assign, cst.Assign)
        and len(assign.targets) == 1
        and tree.code(assign.targets[0].target) == losses[0].value
        and occurrences(method, losses[0].value) == 2
    )


def _count(target: Target, method: cst.FunctionDef) -> str:
    """How many targets there are, in the words of the call itself where it is in training_step."""
    tree = target.tree
    mask = target.option_or("mask", "")
    labels, ignored = mask or target.option("labels"), target.option_or("ignore_index", "-100")
    shifted, own = target.option_or("shifted", "no") == "yes", target.option("own") == "yes"
    passed = None
    if target.spans("call"):
        call = tree.find(target.span("call"), cst.Call)
        passed = _passed(call, own)
        ignored = ignored if own else _ignored(target, call, ignored)
        if passed is not None:
            _refuse_rebound(tree, method, call, names_in(passed))
            labels, shifted = tree.code(_plain(passed)), shifted and own
    if passed is None and (not labels or target.option_or("remade", "no") == "yes"):
        raise FixNotApplicable("the targets are masked, cut off or replaced on their way to the loss")
    if passed is None and ".pop(" in tree.code(tree.class_of(method)):
        raise FixNotApplicable("something is popped from the batch, which may be its targets")
    if passed is None:
        _refuse_taken_apart(tree, method, names_in(tree.parse_expression(labels)))
    if unknown := names_in(tree.parse_expression(f"({labels}, {ignored})")) - names_known_at(tree, method.body):
        raise FixNotApplicable(f"{min(unknown)}, which tells targets from others, is not known in training_step")
    cut = f"{labels}[..., 1:]" if shifted else labels
    return f"{cut}.sum()" if mask else f"({cut} != {ignored}).sum()"


def _passed(call: cst.Call, own: bool) -> cst.BaseExpression | None:
    """The targets as the loss gets them; None where they come in `**batch`."""
    names = ("labels",) if own else ("target", "targets", "labels")
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value in names:
            return arg.value
    positional = [arg for arg in call.args if arg.keyword is None and not arg.star]
    return positional[1].value if not own and len(positional) > 1 else None


def _plain(passed: cst.BaseExpression) -> cst.BaseExpression:
    """Without what changes its shape alone: a count needs none of that."""
    while isinstance(passed, cst.Call) and isinstance(passed.func, cst.Attribute) and passed.func.attr.value in _SHAPES:
        passed = passed.func.value
    return passed


def _ignored(target: Target, call: cst.Call, known: str) -> str:
    tree = target.tree
    built = [tree.find(span, cst.Call) for span in target.spans("constructor")]
    for place in (call, *([call.func] if isinstance(call.func, cst.Call) else []), *built):
        for arg in place.args:
            if arg.keyword is not None and arg.keyword.value == "ignore_index":
                return tree.code(arg.value)
    is_object = not isinstance(call.func, cst.Call) and not known.lstrip("-").isdecimal()
    return f"{tree.code(call.func)}.ignore_index" if is_object else known


def _refuse_rebound(tree: Tree, method: cst.FunctionDef, call: cst.Call, names: set[str]) -> None:
    for each in bindings_in(tree, method.body):
        taken = names & names_in(each.target)
        if taken and tree.span_of(each.target).start > tree.span_of(call).end:
            raise FixNotApplicable(f"{min(taken)} gets another value after the loss")


def _refuse_taken_apart(tree: Tree, method: cst.FunctionDef, names: set[str]) -> None:
    """`batch = batch["input_ids"]`: behind it the batch has no such entry. One that is moved keeps its entries."""
    for each in bindings_in(tree, method.body):
        taken = names_in(each.target) & names
        if taken and not (each.value is not None and _is_moved(each.value)):
            raise FixNotApplicable(f"{min(taken)} gets another value in training_step")


def _is_moved(value: cst.BaseExpression) -> bool:
    """`batch.to(device)`, `{key: tensor.to(device) for key, tensor in batch.items()}`."""
    moving = isinstance(value, cst.Call) and isinstance(value.func, cst.Attribute) and value.func.attr.value in _MOVES
    return moving or isinstance(value, cst.DictComp)
