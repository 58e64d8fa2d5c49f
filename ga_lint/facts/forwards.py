"""What do the forwards of models do with the count that a Trainer passes through `**kwargs`?

Only a `forward` that takes `labels` and speaks of a loss is followed, and from it only what is handed the labels: the
network itself says nothing about the loss, and a library of models has hundreds of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.interpreter.scopes import Scope
from ga_lint.facts.model import FORWARD_WORDS, Level, ModelForward, Place, Reduction, Returned, may_hold_forward
from ga_lint.facts.model_kinds import HEAD, from_transformers, model_kind
from ga_lint.facts.patches import patches_of
from ga_lint.facts.received import TRAINERS_COUNT, classes_of, follow, name_span, parameter_of
from ga_lint.facts.values import COUNT, Class, Function, Instance, Table, Tensor, TensorKind, Value
from ga_lint.syntax.parameters import parameter_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import last_name
from ga_lint.syntax.walk import walk

_FLAG = "accepts_loss_kwargs"
_OF_LOSS = ("loss", "cross_entropy", "CrossEntropy", "super().forward(")


def has_forwards(parsed: ParsedFile) -> bool:
    """Can this file hold a forward that computes a loss?"""
    data = parsed.source.data
    return may_hold_forward(data) and any(word in data for word in FORWARD_WORDS)


def forwards_of(run: Interpreter, parsed: ParsedFile) -> tuple[ModelForward, ...]:
    """Every forward of a model that a Trainer may train, with the losses that it returns."""
    run.only_with_labels = True
    found = []
    for cls in classes_of(run, parsed):
        method = _forward_of(parsed, cls)
        if method is None or not _speaks_of_loss(parsed, method):
            continue
        head = run.knowledge.head(cls.node.name)
        if head is not None and head.listed:
            continue
        kind = model_kind(run, parsed, cls, method)
        if kind is not None:
            found.append(_forward(run, parsed, cls, method, kind))
    found.extend(_assigned(run, parsed))
    return tuple(found)


def _forward_of(parsed: ParsedFile, cls: Class) -> FunctionNode | None:
    """The class's own forward that takes labels."""
    if not (parsed.mentions(cls.node, "labels") and parsed.mentions(cls.node, "forward")):
        return None
    method = next((s for s in cls.node.body if isinstance(s, FunctionNode) and s.name == "forward"), None)
    return method if method is not None and "labels" in parameter_names(method) else None


def _assigned(run: Interpreter, parsed: ParsedFile) -> Iterator[ModelForward]:
    """`LlamaForCausalLM.forward = f`, `model.forward = MethodType(f, model)`: read as a class that has `f`."""
    seen: set[int] = set()
    for patch in patches_of(run, parsed, ("forward",)):
        own = patch.function.scope.parsed is parsed and patch.bound and id(patch.node) not in seen
        if not own or "labels" not in parameter_names(patch.node) or not _speaks_of_loss(parsed, patch.node):
            continue
        seen.add(id(patch.node))
        owner = ast.unparse(patch.owner).rpartition(".")[2]
        if HEAD.search(owner) or from_transformers(run, parsed):
            node = ast.ClassDef(owner, [patch.owner], [], [patch.node], [])
            run.made.append(node)
            cls = Class(ast.copy_location(node, patch.node), patch.scope)
            yield _forward(run, parsed, cls, patch.node, (owner, Confidence.LIKELY), patch.function.scope)


def _speaks_of_loss(parsed: ParsedFile, method: FunctionNode) -> bool:
    if not parsed.mentions(method, *_OF_LOSS):
        return False
    lines = parsed.source.lines[method.body[0].lineno - 1 : method.end_lineno]
    return any(word in line for line in lines for word in _OF_LOSS)


def _forward(
    run: Interpreter,
    parsed: ParsedFile,
    cls: Class,
    method: FunctionNode,
    kind: tuple[str, Confidence],
    scope: Scope | None = None,
) -> ModelForward:
    function = Function(method, scope or run.names.scope_of(cls), Instance(cls))
    _, returns = follow(run, function, _arguments(method))
    return ModelForward(
        cls=cls.node.name,
        base=kind[0],
        name=Place(parsed.path, name_span(parsed, method)),
        function=Place(parsed.path, parsed.span_of(method)),
        scope=parsed.name_of(method) or method.name,
        parameter=parameter_of(parsed, method),
        returns=returns,
        declared=_declared(run, parsed, cls) if any(map(_has_mean, returns)) else (),
        confidence=kind[1],
        level=_level(run, cls, method),
    )


def _level(run: Interpreter, cls: Class, method: FunctionNode) -> Level:
    """What one target is for: as the class's name says, else as a forward shows that gives a sample one answer."""
    known = run.knowledge.head_level(cls.node.name)
    if known is not None:
        return Level(known)
    return Level.SAMPLE if any(_is_of_samples(node) for s in method.body for node in walk(s)) else Level.UNKNOWN


def _is_of_samples(node: ast.AST) -> bool:
    """`num_labels == 1`, a regression of whole samples; `hidden[torch.arange(n), position]`, one position of each."""
    match node:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=1)]):
            return last_name(left) == "num_labels"
        case ast.Subscript(slice=ast.Tuple(elts=[ast.Call(func=func), _])):
            return last_name(func) == "arange"
    return False


def _has_mean(returned: Returned) -> bool:
    return any(term.site.reduction is Reduction.MEAN for term in returned.terms or ())


def _arguments(method: FunctionNode) -> dict[str, Value]:
    names = parameter_names(method)
    values: dict[str, Value] = {"labels": entry(Tensor(TensorKind.OTHER), "labels")}
    if COUNT in names:
        values[COUNT] = TRAINERS_COUNT
    elif method.args.kwarg is not None:
        values[method.args.kwarg.arg] = Table(((COUNT, TRAINERS_COUNT),))
    return values


def _declared(run: Interpreter, parsed: ParsedFile, cls: Class) -> tuple[Step, ...]:
    """Where the class, a base of it, or this file says whether the count is used."""
    steps = []
    bases = [one for one in run.names.ancestry(cls) if isinstance(one, Class)]
    for base in bases:
        steps += [step for node, step in _flags(base.scope.parsed, base.node) if isinstance(node, ast.Name)]
    outside = (step for node, step in _flags(parsed, parsed.tree) if isinstance(node, ast.Attribute))
    return (*steps, *outside)


def _flags(parsed: ParsedFile, inside: ast.AST) -> list[tuple[ast.expr, Step]]:
    """`accepts_loss_kwargs = False`, on a class, a model or a Trainer. Kept on the node: every head asks its base."""
    found: list[tuple[ast.expr, Step]] | None = inside.__dict__.get("_ga_lint_flags")
    if found is None:
        spoken_of = _FLAG.encode() in parsed.source.data and parsed.mentions(inside, _FLAG)
        found = list(_flags_in(parsed, inside)) if spoken_of else []
        inside._ga_lint_flags = found  # type: ignore[attr-defined]
    return found


def _flags_in(parsed: ParsedFile, inside: ast.AST) -> Iterator[tuple[ast.expr, Step]]:
    for node in parsed.speaking_below(inside, _FLAG):
        match node:
            case (
                ast.Assign(
                    targets=[(ast.Name(id=name) | ast.Attribute(attr=name)) as target],
                    value=ast.Constant(value=bool() as value),
                )
                | ast.AnnAssign(
                    target=(ast.Name(id=name) | ast.Attribute(attr=name)) as target,
                    value=ast.Constant(value=bool() as value),
                )
            ) if name.endswith(_FLAG):
                yield target, Step(f"{name} = {value}", parsed.path, parsed.span_of(node))
