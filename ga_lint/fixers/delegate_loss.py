"""An override only wants the model's own loss: let `super().compute_loss` compute it (GA201, GA202).

Places: `call`, the `model(**inputs)` call; `loss`, every expression that reads the loss from what it returns
(`outputs.loss`, `outputs["loss"]`, `outputs[0]`, `model(**inputs).loss`, a conditional between such forms).
Options: `steps` (see `terms`).

The other statements stay. super() also owns the rank factor, label smoothing and what later releases will add.
"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.commas import MAX_WIDTH
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.moving_factors import refuse_moving_factors
from ga_lint.fixers.names import fresh_name, names_in
from ga_lint.fixers.readers import note_told, note_told_at
from ga_lint.fixers.registry import Target, fixer
from ga_lint.fixers.signature import COUNT, parameter_name, receive_count
from ga_lint.fixers.terms import STEPS, divide_other_terms
from ga_lint.fixers.tree import Tree


@fixer("delegate-loss")
def delegate_loss(target: Target, edits: Edits) -> None:
    tree = target.tree
    call = tree.find(target.span("call"), cst.Call)
    losses = whole_conditionals(tree, [tree.expression(span) for span in target.spans("loss")])
    function = tree.function_of(call)
    tree.class_of(function)
    _refuse_own_dealings(tree, function, losses)
    texts = [text for loss in losses for text in (tree.code(loss), _assigned(tree, loss)) if text is not None]
    start, steps = tree.span_of(call).start, target.option_or("steps", STEPS)
    divide_other_terms(edits, function, start, texts, steps, added=target.spans("added"))
    name = delegate_to(edits, call, losses, "super()")
    divided = {name: tree.span_of(call).end}
    refuse_moving_factors(tree, function, divided, divided, losses)
    note_told(edits, function, divided)


def delegate_to(edits: Edits, call: cst.Call, losses: list[cst.BaseExpression], owner: str) -> str:
    """Put `owner.compute_loss` in the place of the model's call; the name of the loss, "" where it has none."""
    tree, function = edits.tree, edits.tree.function_of(call)
    model, inputs = parameter_name(function, 1), parameter_name(function, 2)
    passed = [model, _inputs(tree, function, call, model, inputs)]
    note_told_at(edits, function, losses)
    count = f"{COUNT}={receive_count(edits, function)}"
    if any(tree.span_of(loss).contains(tree.span_of(call)) for loss in losses):
        if len(losses) != 1:
            raise FixNotApplicable("the model is called more than once")
        edits.replace(losses[0], f"{owner}.compute_loss({', '.join([*passed, count])})")
        return _assigned(tree, losses[0]) or ""
    outputs = _bound_name(tree, call)
    line = tree.statement_of(call)
    name = _loss_name(tree, losses)
    edits.change(line.body[0], lambda node: _bind_both(node, name))
    opening = f"{name}, {outputs} = {owner}.compute_loss("
    arguments = _laid_out([*passed, "return_outputs=True", count], tree.span_of(line).start.column - 1, len(opening))
    edits.replace(call, f"{owner}.compute_loss({arguments})")
    for loss in losses:
        _read_bound(edits, loss, name, outputs)
    return name


def _refuse_own_dealings(tree: Tree, function: cst.FunctionDef, losses: list[cst.BaseExpression]) -> None:
    """Does the override itself scale, replace or miss the model's loss? super()'s loss is another one."""
    for product in tree.inside(function.body, cst.BinaryOperation):
        if isinstance(product.operator, cst.Multiply | cst.Divide) and COUNT in names_in(product):
            row = tree.span_of(product).start.row
            raise FixNotApplicable(f"the override scales by the count itself on line {row}")
    names = {name for loss in losses if (name := _assigned(tree, loss)) is not None}
    read = {tree.code(part) for loss in losses for part in _readings(loss)}
    for each in bindings_in(tree, function.body):
        part = isinstance(each.target, cst.Attribute | cst.Subscript)  # a name is another thing than the output's entry
        if part and tree.code(each.target).replace('"', "'") in _spellings(read):
            row = tree.span_of(each.node).start.row
            raise FixNotApplicable(f"the model's loss is replaced on line {row}")
    for test in tree.inside(function.body, cst.Comparison):
        if tree.code(test) in {f"{name} is {none}" for name in names | read for none in ("None", "not None")}:
            row = tree.span_of(test).start.row
            raise FixNotApplicable(f"the model may return no loss (line {row}), which super() does not allow")


def _readings(loss: cst.BaseExpression) -> tuple[cst.BaseExpression, ...]:
    return (loss.body, loss.orelse) if isinstance(loss, cst.IfExp) else (loss,)


def _spellings(read: set[str]) -> set[str]:
    """`outputs.loss` and `outputs['loss']` are the same place."""
    quoted = {text.replace('"', "'") for text in read}
    bases = {text.removesuffix("['loss']").removesuffix(".loss") for text in quoted}
    return quoted | {base + ending for base in bases for ending in (".loss", "['loss']")}


def _laid_out(arguments: list[str], indent: int, opening: int) -> str:
    """The arguments; what is too long for one line goes below the first argument. The line's indent is added later."""
    lines = [arguments[0]]
    for argument in arguments[1:]:
        if indent + opening + len(f"{lines[-1]}, {argument}") >= MAX_WIDTH:
            lines.append(argument)
        else:
            lines[-1] += f", {argument}"
    separator = ",\n" + " " * opening
    return separator.join(lines)


def whole_conditionals(tree: Tree, losses: list[cst.BaseExpression]) -> list[cst.BaseExpression]:
    """`outputs["loss"] if isinstance(outputs, dict) else outputs[0]` reads the loss once."""
    found: dict[cst.BaseExpression, None] = {}
    for loss in losses:
        outer = tree.parent(loss)
        both = isinstance(outer, cst.IfExp) and outer.body in losses and outer.orelse in losses
        found[outer if both and isinstance(outer, cst.IfExp) else loss] = None
    return list(found)


def _inputs(tree: Tree, function: cst.FunctionDef, call: cst.Call, model: str, inputs: str) -> str:
    """What super() is to receive. A copy where the override reads its inputs again: super() may take labels out."""
    if tree.code(call.func) != model:
        raise FixNotApplicable(f"the loss comes from {tree.code(call.func)}, not from {model}")
    arguments = [arg for arg in call.args if arg.keyword is None or arg.keyword.value != COUNT]  # super() has the count
    splat = [tree.code(arg.value) for arg in arguments if arg.star == "**"]
    pairs = [f'"{arg.keyword.value}": {tree.code(arg.value)}' for arg in arguments if arg.keyword is not None]
    if len(splat) > 1 or len(splat) + len(pairs) != len(arguments):
        raise FixNotApplicable(f"the model is not called with **{inputs}")
    batch = splat[0] if splat else ""
    for quote in "\"'":
        if batch and f"{batch}.pop({quote}labels{quote}" in tree.code(function.body):
            raise FixNotApplicable("the labels are taken out of the batch, so super() would find no loss")
    if not splat:
        _refuse_other_labels(tree, function, {arg.keyword.value: arg.value for arg in call.args if arg.keyword}, inputs)
    elif batch not in (inputs, f"{parameter_name(function, 0)}._prepare_inputs({inputs})"):
        _refuse_other_labels(tree, function, _entries(tree, function, batch), inputs)
    if pairs:
        return "{" + ", ".join([f"**{batch}"] * bool(batch) + pairs) + "}"
    return f"{{**{batch}}}" if _read_after(tree, function, call, batch) else batch


def _entries(tree: Tree, function: cst.FunctionDef, name: str) -> dict[str, cst.BaseExpression]:
    """The entries of a dictionary that the override makes once, as `name = {"input_ids": ..., "labels": ...}`."""
    bound = [
        assign
        for assign in tree.inside(function.body, cst.Assign)
        if any(name in names_in(each.target) for each in assign.targets)
    ]
    match bound:
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Name())], value=cst.Dict(elements=elements))]:
            pairs = [each for each in elements if isinstance(each, cst.DictElement)]
            if len(pairs) == len(elements) and all(isinstance(each.key, cst.SimpleString) for each in pairs):
                return {tree.code(each.key).strip("\"'"): each.value for each in pairs}
        case _:
            pass
    what = f"what {name} holds" if name.isidentifier() else "what the model is called with"
    raise FixNotApplicable(f"{what} is not written down in one place")


def _refuse_other_labels(
    tree: Tree, function: cst.FunctionDef, entries: dict[str, cst.BaseExpression], inputs: str
) -> None:
    """The Trainer counts `inputs["labels"]`; any other labels are not what it has counted."""
    labels = entries.get("labels")
    if isinstance(labels, cst.Name):
        bound = [
            assign.value
            for assign in tree.inside(function.body, cst.Assign)
            if any(labels.value in names_in(each.target) for each in assign.targets)
        ]
        labels = bound[0] if len(bound) == 1 else None
    text = "" if labels is None else tree.code(labels).replace("'", '"')
    if not text.startswith((f'{inputs}["labels"]', f'{inputs}.get("labels"', f'{inputs}.pop("labels"')):
        raise FixNotApplicable("the labels that the model receives may not be those that the Trainer has counted")


def _read_after(tree: Tree, function: cst.FunctionDef, call: cst.Call, name: str) -> bool:
    end = tree.span_of(call).end
    return any(each.value == name and tree.span_of(each).start >= end for each in tree.inside(function, cst.Name))


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
