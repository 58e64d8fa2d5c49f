"""An override only wants the model's own loss: let `super().compute_loss` compute it (GA201, GA202).

Places: `call`, the `model(**inputs)` call; `loss`, every expression that reads the loss from what it returns
(`outputs.loss`, `outputs["loss"]`, `outputs[0]`, `model(**inputs).loss`, a conditional between such forms).
Options: none.

The other statements stay. super() also owns the rank factor, label smoothing and what later releases will add.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, parameter_name, receive_count
from ga_lint.fixers.tree import Tree, fresh_name, occurrences


@fixer("delegate-loss")
def delegate_loss(target: Target, edits: Edits) -> None:
    tree = target.tree
    call = tree.find(target.span("call"), cst.Call)
    losses = [tree.expression(span) for span in target.spans("loss")]
    function = tree.function_of(call)
    tree.class_of(function)
    model, inputs = parameter_name(function, 1), parameter_name(function, 2)
    delegated = f"super().compute_loss({model}, {_inputs(tree, function, call, model, inputs)}, "
    count = receive_count(edits, function)
    direct = next((loss for loss in losses if tree.span_of(loss).contains(tree.span_of(call))), None)
    if direct is not None:
        _refuse_unless_read_once(losses)
        edits.replace(direct, f"{delegated}{COUNT}={count})")
        return
    outputs = _bound_name(tree, call)
    line = tree.statement_of(call)
    name = _loss_name(tree, losses)
    edits.change(line.body[0], lambda node: _bind_both(node, name))
    edits.replace(call, f"{delegated}return_outputs=True, {COUNT}={count})")
    for loss in losses:
        _read_bound(edits, loss, name, outputs)


def _inputs(tree: Tree, function: cst.FunctionDef, call: cst.Call, model: str, inputs: str) -> str:
    """What super() is to receive. A copy where the override reads its inputs again: super() may take labels out."""
    if tree.code(call.func) != model:
        raise FixNotApplicable(f"the loss comes from {tree.code(call.func)}, not from {model}")
    splat = [arg for arg in call.args if arg.star == "**"]
    extra = [arg for arg in call.args if not arg.star and arg.keyword is not None]
    if len(splat) != 1 or tree.code(splat[0].value) != inputs or len(splat) + len(extra) != len(call.args):
        raise FixNotApplicable(f"the model is not called with **{inputs}")
    if extra:
        pairs = ", ".join(f'"{arg.keyword.value}": {tree.code(arg.value)}' for arg in extra if arg.keyword)
        return f"{{**{inputs}, {pairs}}}"
    return f"{{**{inputs}}}" if _read_after(tree, function, call, inputs) else inputs


def _read_after(tree: Tree, function: cst.FunctionDef, call: cst.Call, name: str) -> bool:
    end = tree.span_of(call).end
    return any(occurrences(each, name) for each in _lines(function.body) if tree.span_of(each).start >= end)


def _lines(body: cst.CSTNode) -> list[cst.CSTNode]:
    found: list[cst.CSTNode] = []

    class Names(cst.CSTVisitor):
        def visit_Name(self, node: cst.Name) -> None:
            found.append(node)

    body.visit(Names())
    return found


def _refuse_unless_read_once(losses: list[cst.BaseExpression]) -> None:
    if len(losses) != 1:
        raise FixNotApplicable("the model is called more than once")


def _bound_name(tree: Tree, call: cst.Call) -> str:
    """`outputs` in `outputs = model(**inputs)`."""
    match tree.parent(call):
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            return name
        case _:
            raise FixNotApplicable("what the model returns is not bound to a plain name")


def _loss_name(tree: Tree, losses: list[cst.BaseExpression]) -> str:
    """The user's own name for the loss, or a new one where it is never bound."""
    for loss in losses:
        name = _assigned(tree, loss)
        if name is not None:
            return name
    return fresh_name(tree, losses[0], "loss", "model_loss")


def _assigned(tree: Tree, loss: cst.BaseExpression) -> str | None:
    match tree.parent(loss):
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            return name
        case _:
            return None


def _bind_both(statement: cst.BaseSmallStatement, name: str) -> cst.BaseSmallStatement:
    """`outputs = ...` becomes `loss, outputs = ...`."""
    assert isinstance(statement, cst.Assign)
    target = statement.targets[0]
    both = cst.Tuple([cst.Element(cst.Name(name)), cst.Element(target.target)], lpar=[], rpar=[])
    return statement.with_changes(targets=[target.with_changes(target=both)])


def _read_bound(edits: Edits, loss: cst.BaseExpression, name: str, outputs: str) -> None:
    """`loss = outputs.loss` has nothing left to say; any other reading becomes the name."""
    if outputs not in edits.tree.code(loss):
        raise FixNotApplicable("the loss is not read from what the model returns")
    if _assigned(edits.tree, loss) == name:
        edits.remove(loss)
    else:
        edits.replace(loss, name)
