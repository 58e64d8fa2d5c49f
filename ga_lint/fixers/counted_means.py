"""How does each mean of a function become its sum over the count that the function is passed?

The places are those that `count_loss` describes; its measured text is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst
from msgspec import Struct, field

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.arithmetic import division_of
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.imports import import_module
from ga_lint.fixers.moving_factors import refuse_moving_factors
from ga_lint.fixers.named_loss import bind, bind_first, is_scaled
from ga_lint.fixers.names import names_in
from ga_lint.fixers.own_counts import (
    count_elsewhere,
    count_of_call,
    count_of_mean,
    is_mean,
    losses_of,
    selected_losses,
)
from ga_lint.fixers.readers import note_told, place_behind_told
from ga_lint.fixers.reduction import reduce_call
from ga_lint.fixers.registry import Target
from ga_lint.fixers.signature import COUNT, parameter_name, receive_count
from ga_lint.fixers.tree import Statement, Tree
from ga_lint.source import Position


def divide_all(target: Target, edits: Edits, *, ranks: bool) -> Plan:
    """Divide each of the places; `ranks`: the factor of the ranks is owed here."""
    tree = target.tree
    calls = [tree.find(span, cst.Call) for span in target.spans("call")]
    means = [tree.find(span, cst.BinaryOperation, cst.Call) for span in target.spans("mean")]
    picked = [tree.find(span, cst.Call) for span in target.spans("picked")]
    handed = [tree.find(span, cst.Call) for span in target.spans("handed")]
    paired = [tree.find(span, cst.Call) for span in target.spans("handed in a pair")]
    places = [*calls, *means, *picked, *handed, *paired]
    function = tree.function_of(places[0])
    receive_count(edits, function)
    self_name = parameter_name(function, 0) if ranks else ""
    plan = Plan(target, edits, function, import_module(edits, "torch", function), self_name)
    for call in calls:
        plan.divide_call(call)
    for mean in means:
        plan.divide_mean(mean)
    for call in picked:
        plan.divide_picked(call)
    for call in (*handed, *paired):
        plan.divide_handed(call, in_pair=call in paired)
    if len(plan.bound) > 1:
        for loss in plan.handed:
            _refuse_other_values(tree, function, loss, [*calls, *handed, *paired])
    refuse_moving_factors(tree, function, plan.bound, plan.divided, places)
    note_told(edits, function, plan.divided)
    return plan


class Plan(Struct):
    """Where the losses of one function are divided; `bound` says from where on each has its name."""

    target: Target
    edits: Edits
    function: cst.FunctionDef
    torch: str
    self_name: str  # "" where nobody multiplies by the ranks here
    bound: dict[str, Position] = field(default_factory=dict)
    handed: list[str] = field(default_factory=list)
    divided: dict[str, Position] = field(default_factory=dict)  # from where on each is divided

    def divide_call(self, call: cst.Call) -> None:
        """`F.cross_entropy(...)`: its sum where there is a count; its mean times its own count if others chose that."""
        tree = self.edits.tree
        line, loss, tail = self._bind(call)
        constructors = [tree.find(span, cst.Call) for span in self.target.spans("constructor")]
        times = ""
        if constructors and all(tree.function_of(each) is not self.function for each in constructors):
            times = f" * {count_elsewhere(self.target, call, constructors)}"
        elif self._divided_later(line, loss, count_of_call(tree, call, constructors)):
            return
        else:
            reduce_call(self.edits, call, constructors, f'"mean" if {COUNT} is None else "sum"')
        self._insert(line, loss, times, tail)

    def divide_mean(self, mean: cst.BaseExpression) -> None:
        """`(losses * mask).sum() / mask.sum()`, `losses[mask].mean()`."""
        tree = self.edits.tree
        line, loss, tail = self._bind(mean)
        if selected_losses(mean) is not None:
            self._sum_instead(mean, line, loss, tail)
            return
        if is_mean(mean):
            row = tree.span_of(mean).start.row
            raise FixNotApplicable(f"the mean on line {row} is over all positions, those that are no targets too")
        division = division_of(mean)
        if self._divided_later(line, loss, count_of_mean(tree, mean)):
            return
        self.edits.replace(mean, tree.code(division.left))
        own = f"if {COUNT} is None:\n    {loss} = {loss} / {tree.code(division.right)}\nelse:\n"
        self._divide(line, loss, f"{own}{self._normalise(loss)}{tail}")

    def divide_picked(self, mean: cst.Call) -> None:
        """`losses.mean()`, `torch.mean(losses)`, of losses that a mask has picked before."""
        if not is_mean(mean):
            raise FixNotApplicable("the mean is written in a form that is not known here")
        line, loss, tail = self._bind(mean)
        self._sum_instead(mean, line, loss, tail)

    def _sum_instead(self, mean: cst.BaseExpression, line: cst.SimpleStatementLine, loss: str, tail: str) -> None:
        """Both reductions on the line where there is room for them, else below it."""
        tree = self.edits.tree
        assert isinstance(mean, cst.Call) and isinstance(mean.func, cst.Attribute)
        if self._divided_later(line, loss, count_of_mean(tree, mean)):
            return
        total = mean.with_changes(func=mean.func.with_changes(attr=cst.Name("sum")))
        text = f"{tree.code(mean)} if {COUNT} is None else {tree.code(total)}"
        text = f"({text})" if isinstance(tree.parent(mean), cst.BinaryOperation) else text
        if tree.span_of(line).start.column + len(f"{loss} = {text}") <= MAX_WIDTH and "\n" not in text:
            self.edits.replace(mean, text)
            self._insert(line, loss, "", tail)
            return
        self.edits.replace(mean, tree.code(losses_of(mean)))
        own = f"if {COUNT} is None:\n    {loss} = {loss}.mean()\nelse:\n"
        self._divide(line, loss, f"{own}{self._normalise(loss, '.sum()')}{tail}")

    def divide_handed(self, call: cst.Call, *, in_pair: bool) -> None:
        """`self.helper(...)`: the helper stays as it is, whoever else calls it."""
        tree = self.edits.tree
        line, loss, tail = self._bound(*bind_first(tree, call)) if in_pair else self._bind(call)
        self.handed.append(loss)
        divisor = tree.count_again(self.target.option(f"divisor on line {tree.span_of(call).start.row}"))
        rebound = names_in(line.body[0]) & names_in(tree.parse_expression(divisor)) - names_in(call)
        if rebound:
            raise FixNotApplicable(f"{min(rebound)} is no longer what the helper was called with")
        note = "    # the helper's mean over this micro-batch, times its share of the window's targets\n"
        self._insert(line, loss, f" * {divisor}", tail, note)

    def _insert(self, line: cst.SimpleStatementLine, loss: str, times: str, tail: str, note: str = "") -> None:
        """The division behind the loss, or behind what still tells its mean, where the mean is what is divided."""
        place: Statement = line
        if times and not tail:
            needed = names_in(self.edits.tree.parse_expression(times.removeprefix(" * ")))
            place = place_behind_told(self.edits.tree, line, loss, needed)
        self._divide(place, loss, f"if {COUNT} is not None:\n{note}{self._normalise(loss, times)}{tail}")

    def _divide(self, place: Statement, loss: str, text: str) -> None:
        end = self.edits.tree.span_of(place).end
        self.divided[loss] = min(self.divided.get(loss, end), end)
        self.edits.insert_after(place, text)

    def _divided_later(self, line: cst.SimpleStatementLine, loss: str, own: str | None) -> bool:
        """Is the mean kept for the lines that tell it, and divided behind them? `own`: its count, if there is one."""
        tree = self.edits.tree
        if own is None or place_behind_told(tree, line, loss, names_in(tree.parse_expression(own))) is line:
            return False
        note = "    # the mean over this micro-batch, times its share of the window's targets\n"
        self._insert(line, loss, f" * {tree.count_again(own)}", "", note)
        return True

    def _bind(self, value: cst.BaseExpression) -> tuple[cst.SimpleStatementLine, str, str]:
        return self._bound(*bind(self.edits, value))

    def _bound(self, line: cst.SimpleStatementLine, loss: str, tail: str) -> tuple[cst.SimpleStatementLine, str, str]:
        """Remember from where on the name is a divided loss: in several branches, from the first of them on."""
        end = self.edits.tree.span_of(line).end
        self.bound[loss] = min(self.bound.get(loss, end), end)
        return line, loss, tail

    def _normalise(self, loss: str, times: str = "") -> str:
        return (
            f"    if {self.torch}.is_tensor({COUNT}):\n"
            f"        {COUNT} = {COUNT}.to({loss}.device)\n"
            f"    {loss} = {loss}{times} / {COUNT}\n"
        ) + (
            f"    if {self.self_name}.args.average_tokens_across_devices:\n"
            f"        {loss} = {loss} * {self.self_name}.accelerator.num_processes\n"
            if self.self_name
            else ""
        )


def _refuse_other_values(tree: Tree, function: cst.FunctionDef, loss: str, calls: Sequence[cst.BaseExpression]) -> None:
    """Is the name another term's on another path? Beside a loss that is divided that one would stay undivided."""
    for each in bindings_in(tree, function.body):
        value = each.value
        if tree.code(each.target) != loss or value is None or loss in names_in(value) or _is_zero(value):
            continue
        if not any(is_scaled(value, call) for call in calls):
            row = tree.span_of(each.target).start.row
            raise FixNotApplicable(f"{loss} is another term on line {row}, whose divisor is not known")


def _is_zero(value: cst.BaseExpression) -> bool:
    """`0.0`, `torch.tensor(0.0, ...)`, `torch.zeros(...)`, None."""
    match value:
        case cst.Name(value="None") | cst.Integer(value="0") | cst.Float(value="0.0" | "0."):
            return True
        case cst.Call(func=cst.Attribute(attr=cst.Name(value="zeros" | "zeros_like"))):
            return True
        case cst.Call(
            func=cst.Attribute(attr=cst.Name(value="tensor" | "new_tensor")), args=[cst.Arg(value=first), *_]
        ):
            return _is_zero(first)
        case _:
            return False
