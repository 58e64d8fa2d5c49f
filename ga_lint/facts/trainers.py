"""Which classes are Trainers, and what do their overrides do with the count?"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ga_lint.diagnostics import Confidence
from ga_lint.facts.counted_labels import local_averages_of, replaced_labels
from ga_lint.facts.events import EventKind
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import Answer, Override, Place, Returned, SuperCall
from ga_lint.facts.optouts import opt_outs
from ga_lint.facts.received import COUNT, TRAINERS_COUNT, classes_of, follow, name_span, parameter_of, returned_as
from ga_lint.facts.values import (
    UNKNOWN,
    Class,
    Const,
    External,
    Function,
    Instance,
    Items,
    Model,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
)
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

METHODS = ("compute_loss", "training_step")


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a class descends from."""

    base: str
    confidence: Confidence
    per_sample: bool


def overrides_of(run: Interpreter, parsed: ParsedFile) -> tuple[Override, ...]:
    """Every `compute_loss` and `training_step` of a class that reaches transformers' Trainer."""
    found: list[Override] = []
    for cls in classes_of(run, parsed):
        methods = [s for s in cls.node.body if isinstance(s, FunctionNode) and s.name in METHODS]
        if not methods:
            continue
        lineage = _lineage(run, cls)
        if lineage is None:
            continue
        found.extend(_override(run, parsed, cls, method, lineage) for method in methods)
    return tuple(found)


def _lineage(run: Interpreter, cls: Class) -> Lineage | None:
    """The external Trainer that a class reaches, with how sure that is."""
    per_sample = False
    unknown_base = False
    for ancestor in run.names.ancestry(cls):
        for one in alternatives(ancestor):
            if isinstance(one, External):
                row = run.knowledge.trainers.get(one.name)
                if row is not None:
                    return Lineage(one.name, Confidence.CERTAIN, per_sample or row.loss == "sample")
                last = one.name.rpartition(".")[2]
                if last.endswith("Trainer") and one.name.partition(".")[0] in run.knowledge.libraries:
                    return Lineage(one.name, Confidence.LIKELY, per_sample)
                if last.endswith("Trainer") and "." in one.name.lstrip("."):
                    return Lineage(one.name, Confidence.LIKELY, per_sample) if _looks_like_trainer(cls) else None
            elif isinstance(one, Unknown):
                unknown_base = True
    if unknown_base and _looks_like_trainer(cls):
        return Lineage("a base class held in a variable", Confidence.LIKELY, per_sample)
    return _combined(run, cls)


def _combined(run: Interpreter, mixin: Class) -> Lineage | None:
    """A mixin is a Trainer when its module combines it with one."""
    if mixin.node.bases and not all(ast.unparse(base) in ("object", "ABC") for base in mixin.node.bases):
        return None
    for node in ast.walk(mixin.scope.parsed.tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == mixin.node.name for base in node.bases):
            return _lineage(run, Class(node, mixin.scope)) if node is not mixin.node else None
    return None


def _looks_like_trainer(cls: Class) -> bool:
    """Does a method of its have the parameters that the Trainer passes?"""
    for statement in cls.node.body:
        if isinstance(statement, FunctionNode) and statement.name in METHODS:
            names = [argument.arg for argument in statement.args.args]
            if names[1:3] == ["model", "inputs"]:
                return True
    return False


def _override(run: Interpreter, parsed: ParsedFile, cls: Class, method: FunctionNode, lineage: Lineage) -> Override:
    function = Function(method, run.names.scope_of(cls), Instance(cls))
    events, returns = follow(run, function, _arguments(method))
    place = Place(parsed.path, parsed.span_of(method))
    calls = tuple(
        SuperCall(event.driver_text, event.place, event.value == Const(True))
        for event in events
        if event.kind is EventKind.SUPER_CALL
    )
    return Override(
        cls=cls.node.name,
        base=lineage.base,
        method=method.name,
        name=Place(parsed.path, name_span(parsed, method)),
        function=place,
        scope=parsed.scopes.get(id(method), method.name),
        parameter=parameter_of(parsed, method),
        returns=returns,
        super_calls=calls,
        opted_out=opt_outs(run, cls),
        confidence=lineage.confidence,
        sample_base=lineage.per_sample,
        labels_in_batch=_labels_in_batch(cls, method, returns),
        loss_reads=tuple(run.loss_reads),
        local_average=any(local_averages_of(parsed)),
        own_step=_has_own_step(run, cls),
        backwards=tuple(returned_as(e.value_place, e.value) for e in events if e.kind is EventKind.BACKWARD),
        replaced=tuple(replaced_labels(parsed, method)),
        counts_itself=run.names.method(cls, "_get_num_items_in_batch") is not None,
    )


def _arguments(method: FunctionNode) -> dict[str, Value]:
    """What the Trainer passes: a model, a batch, and the window's count by name or in `**kwargs`."""
    names = [argument.arg for argument in (*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs)]
    count = TRAINERS_COUNT
    values: dict[str, Value] = {}
    if len(names) > 1:
        values[names[1]] = Model()
    if len(names) > 2:
        values[names[2]] = Tensor(TensorKind.BATCH)
    if "return_outputs" in names:
        values["return_outputs"] = UNKNOWN
    if COUNT in names:
        values[COUNT] = count
    elif method.name == "training_step" and len(names) > 3:
        values[names[3]] = count
    elif method.args.kwarg is not None:
        values[method.args.kwarg.arg] = Table(((COUNT, count),))
    if method.args.vararg is not None and len(names) < 4 and method.name == "training_step":
        values[method.args.vararg.arg] = Items((count,))
    return values


def _labels_in_batch(cls: Class, method: FunctionNode, returns: tuple[Returned, ...]) -> Answer:
    """Does the batch hold a key `labels`, without which the Trainer counts nothing?"""
    for statement in cls.node.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and node.value in ("labels", "shift_labels"):
                return Answer.YES
            if isinstance(node, ast.Attribute) and node.attr == "labels":
                return Answer.YES
    own = any(term.site.callee.endswith("own loss") for r in returns if r.terms for term in r.terms)
    return Answer.YES if own and not _holds_batches(method) else Answer.UNKNOWN


def _holds_batches(method: FunctionNode) -> bool:
    """`model(**inputs["chosen"])`: a batch of batches has no key `labels` of its own."""
    return any(
        keyword.arg is None and isinstance(keyword.value, ast.Subscript)
        for node in ast.walk(method)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )


def _has_own_step(run: Interpreter, cls: Class) -> bool:
    """Is `compute_loss` only called by a `training_step` of the project's own that never reaches super's?"""
    found = run.names.method(cls, "training_step")
    if found is None:
        return False
    text = ast.unparse(found[1])
    return "super().training_step" not in text and "self.compute_loss(" in text
