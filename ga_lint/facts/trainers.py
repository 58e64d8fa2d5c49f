"""Which classes are Trainers, and what do their overrides do with the count?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from ga_lint.facts.counted_labels import labels_in_batch, local_averages_of, prepared_labels, replaced_labels
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.algebra import STEPS_NAME
from ga_lint.facts.interpreter.events import Event, EventKind
from ga_lint.facts.lineage import METHODS, PREPARES, Lineage, lineage_of
from ga_lint.facts.model import (
    SUPERS_LOSS,
    Answer,
    FactorKind,
    LossTerm,
    Override,
    Place,
    Reduction,
    Returned,
    SuperCall,
)
from ga_lint.facts.optouts import opt_outs
from ga_lint.facts.patches import Patch, annotated_type, built_as, is_class, patches_of
from ga_lint.facts.received import (
    TRAINERS_COUNT,
    classes_of,
    follow,
    name_span,
    parameter_of,
    returned_as,
    unguarded_uses,
)
from ga_lint.facts.trained_models import accepts_count
from ga_lint.facts.values import (
    COUNT,
    UNKNOWN,
    Class,
    Const,
    Function,
    Instance,
    Items,
    Model,
    Table,
    Tensor,
    TensorKind,
    Value,
)
from ga_lint.syntax.parameters import parameter_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.walk import walk

_ASKED = ("compute_loss_func", "model_accepts_loss_kwargs")  # where the Trainer's own step does not divide


def overrides_of(run: Interpreter, parsed: ParsedFile) -> tuple[Override, ...]:
    """Every override in a class that reaches transformers' Trainer, and what is assigned in the place of one."""
    found: list[Override] = []
    for cls in classes_of(run, parsed):
        methods = [s for s in cls.node.body if isinstance(s, FunctionNode) and s.name in METHODS]
        if not methods:
            continue
        lineage = lineage_of(run, cls)
        if lineage is None:
            continue
        found.extend(_override(run, cls, method, lineage) for method in methods)
    found.extend(_assigned(run, parsed))
    return tuple(found)


def _assigned(run: Interpreter, parsed: ParsedFile) -> Iterator[Override]:
    """`Trainer.compute_loss = f` is read as a class that has `f` as its own method."""
    for patch in patches_of(run, parsed, METHODS[:2]):
        if patch.function.scope.parsed is not parsed:
            continue
        base = patch.owner if is_class(patch.owner) else _type_of(run, patch)
        if base is None:
            continue
        node = ast.ClassDef(patch.node.name, [base], [], [patch.node], [])
        cls = Class(ast.copy_location(node, patch.node), patch.scope)
        run.made.append(node)
        lineage = lineage_of(run, cls)
        if lineage is not None:
            yield _override(run, cls, patch.node, lineage, patch)


def _type_of(run: Interpreter, patch: Patch) -> ast.expr | None:
    """What the patched object is: as built or annotated, or by its name and by what its function takes."""
    built = built_as(patch)
    if built is not None:
        return built
    known = annotated_type(run, patch)
    if known is not None and known.name.endswith("Trainer"):
        return ast.Name(known.name.rpartition(".")[2], ast.Load())
    names = [argument.arg for argument in (*patch.node.args.args, *patch.node.args.kwonlyargs)]
    called_so = ast.unparse(patch.owner).lower().endswith("trainer") and COUNT in names
    return ast.Attribute(ast.Name("transformers", ast.Load()), "Trainer", ast.Load()) if called_so else None


def _override(
    run: Interpreter, cls: Class, method: FunctionNode, lineage: Lineage, patch: Patch | None = None
) -> Override:
    parsed, name = cls.scope.parsed, patch.method if patch else method.name
    function = _function(run, cls, method, patch)
    arguments = _arguments(method, name, bound=function.bound is not None)
    before, prepares = len(run.events), name == PREPARES  # which computes no loss; what it does to the labels is read
    events, returns = ((), ()) if prepares else follow(run, function, arguments)
    reads = () if prepares else tuple(run.loss_reads)
    calls = _super_calls(events)
    accepting = accepts_count(run, cls) if _may_be_wrong(returns, calls) else None
    return Override(
        cls=cls.node.name,
        base=lineage.base,
        method=name,
        name=Place(parsed.path, name_span(parsed, method)),
        function=Place(parsed.path, parsed.span_of(method)),
        scope=parsed.name_of(method) or method.name,
        parameter=parameter_of(parsed, method),
        returns=returns,
        super_calls=calls,
        opted_out=opt_outs(run, cls),
        confidence=lineage.confidence,
        sample_base=lineage.per_sample,
        labels_in_batch=labels_in_batch(cls, method, returns, reads),
        loss_reads=reads,
        local_average=any(local_averages_of(parsed)),
        own_step=_has_own_step(run, cls),
        own_loop=_has_own_loop(run, cls),
        backwards=tuple(map(_handed_over, _backwards(events))),
        backwards_elsewhere=_elsewhere(run.events[before:], events),
        replaced=_replaced(run, cls, method, name),
        counts_itself=any(run.names.method(cls, name) for name in ("_get_num_items_in_batch", "get_batch_samples")),
        unguarded=() if prepares else unguarded_uses(run, function, arguments, returns),
        steps_by_itself=_steps_by_itself(method),
        clears_by_itself=any(event.kind is EventKind.ZERO_GRAD for event in run.events[before:]),
        asks_who_divides=any(map(_asks_who_divides, walk(method))),
        accepted=accepting.answer if accepting else Answer.UNKNOWN,
        models=accepting.steps if accepting else (),
    )


def _replaced(run: Interpreter, cls: Class, method: FunctionNode, name: str) -> tuple[Place, ...]:
    """Where labels are put in the place of those that were counted."""
    places = prepared_labels(run, cls) if name == PREPARES else replaced_labels(cls.scope.parsed, method)
    return tuple(dict.fromkeys(places))


def _function(run: Interpreter, cls: Class, method: FunctionNode, patch: Patch | None) -> Function:
    """The method of an object of its class; a function that is assigned to one object is handed no `self`."""
    scope = patch.function.scope if patch else run.names.scope_of(cls)
    return Function(method, scope, Instance(cls) if patch is None or patch.bound else None)


def _super_calls(events: Iterable[Event]) -> tuple[SuperCall, ...]:
    return tuple(
        SuperCall(event.driver_text, event.place, event.value == Const(True), event.driver == Const(True))
        for event in events
        if event.kind is EventKind.SUPER_CALL
    )


def _backwards(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.kind is EventKind.BACKWARD]


def _handed_over(backward: Event) -> Returned:
    return replace(returned_as(backward.value_place, backward.value), depth=len(backward.loops))


def _elsewhere(events: Iterable[Event], own: Sequence[Event]) -> tuple[Returned, ...]:
    helped = [event for event in _backwards(events) if event not in own]
    return tuple(returned_as(event.value_place, event.value) for event in helped)


def _may_be_wrong(returns: tuple[Returned, ...], calls: tuple[SuperCall, ...]) -> bool:
    """Is there anything to say of it? Only then it is worth asking what it trains."""
    dropped = any(not call.forwards_count for call in calls)
    terms = [term for one in returns for term in one.terms or ()]
    return dropped or any(term.site.reduction is Reduction.MEAN or _is_counted(term) for term in terms)


def _is_counted(term: LossTerm) -> bool:
    """Does the count divide it, other than in super()?"""
    return (term.site.counted and term.site.callee != SUPERS_LOSS) or term.power_of(FactorKind.GLOBAL_COUNT) < 0


def _steps_by_itself(method: FunctionNode) -> bool:
    """Does the method step an optimizer, or speak of the window that it divides by?"""
    text = ast.unparse(method)
    return ".step()" in text or any(STEPS_NAME.search(line) for line in _without_returns(text))


def _asks_who_divides(node: ast.AST) -> bool:
    """`if self.compute_loss_func is None and not self.model_accepts_loss_kwargs: loss = loss / steps`."""
    if not isinstance(node, ast.If) or not any(flag in ast.unparse(node.test) for flag in _ASKED):
        return False
    return any(isinstance(one, ast.Div) for line in node.body for one in ast.walk(line))


def _without_returns(text: str) -> Iterator[str]:
    """The lines but those that only say what is logged: `return loss.detach() / steps`."""
    for line in text.splitlines()[1:]:
        if not line.strip().startswith("return"):
            yield from re.findall(r"[\w.]+", line)


def _arguments(method: FunctionNode, method_name: str, *, bound: bool) -> dict[str, Value]:
    """What the Trainer passes: a model, a batch, and the window's count by name or in `**kwargs`."""
    names = parameter_names(method)
    names = names if bound else ["self", *names]
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
    elif method_name == "training_step" and len(names) > 3:
        values[names[3]] = count
    elif method.args.kwarg is not None:
        values[method.args.kwarg.arg] = Table(((COUNT, count),))
    if method.args.vararg is not None and len(names) < 4 and method_name == "training_step":
        values[method.args.vararg.arg] = Items((count,))
    return values


def _has_own_loop(run: Interpreter, cls: Class) -> bool:
    """Is `training_step` only called by a `train` of the project's own, in its own way?"""
    found = run.names.method(cls, "train")
    if found is None:
        return False
    text = ast.unparse(found[1])
    return "self.training_step(" in text and not re.search(r"super\(.*?\)\.train\b", text)


def _has_own_step(run: Interpreter, cls: Class) -> bool:
    """Is `compute_loss` only called by a `training_step` of the project's own that never reaches super's?"""
    found = run.names.method(cls, "training_step")
    if found is None:
        return False
    text = ast.unparse(found[1])
    return "super().training_step" not in text and "self.compute_loss(" in text
