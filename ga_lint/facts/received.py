"""What does a function that is handed the window's count take, and what does it return?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.algebra import factor_of
from ga_lint.facts.interpreter.closures import closure
from ga_lint.facts.interpreter.events import Event, EventKind
from ga_lint.facts.model import FactorKind, Level, LossSite, LossTerm, Parameter, Place, Reduction, Returned
from ga_lint.facts.values import (
    COUNT,
    NO_COUNT,
    UNKNOWN,
    Built,
    Class,
    Count,
    Function,
    Items,
    Loss,
    Output,
    Product,
    Scale,
    Symbol,
    Table,
    Unknown,
    Value,
    alternatives,
)
from ga_lint.source import Position, Span
from ga_lint.syntax.parameters import parameter_names, positional_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.walk import children

_INDENTED_CLASS = re.compile(r"[\r\n][ \t]+class ")
TRAINERS_COUNT = Count(COUNT, Scale.GLOBAL, text=COUNT)
# Tests that hold while a Trainer trains on several ranks with the defaults of today; see domain.md 1.2.
ASSUMED = {
    "self.args.average_tokens_across_devices": True,
    "getattr(self.args, 'average_tokens_across_devices', False)": True,
    "getattr(self.args, 'average_tokens_across_devices', True)": True,
    "self.model_accepts_loss_kwargs": True,
    "self.is_in_train": True,
    "model.training": True,
    "self.model.training": True,
    "self.accelerator.num_processes > 1": True,
    "self.args.world_size > 1": True,
    "self.args.gradient_accumulation_steps > 1": True,  # a division by 1 is none
    "self.args.gradient_accumulation_steps != 1": True,
    "self.deepspeed is None": True,
    "self.is_deepspeed_enabled": False,
    "self.deepspeed": False,
    "self.use_apex": False,
    "self.use_amp": False,
    "is_sagemaker_mp_enabled()": False,
    "dist.is_initialized()": True,
    "torch.distributed.is_initialized()": True,
}


def follow(
    run: Interpreter, function: Function, arguments: Mapping[str, Value]
) -> tuple[tuple[Event, ...], tuple[Returned, ...]]:
    """What happens inside the function, by the assumptions above, and what each of its returns gives."""
    run.truths = dict(ASSUMED)
    run.loss_reads.clear()
    before = len(run.events)
    value = run.run_function(function, arguments)
    place = Place(function.scope.parsed.path, function.scope.parsed.span_of(function.node))
    events = tuple(event for event in run.events[before:] if event.function == place)
    if isinstance(function.node, ast.Lambda):
        body = Place(place.path, function.scope.parsed.span_of(function.node.body))
        return events, (returned_as(body, value),)
    returns = (event for event in events if event.kind is EventKind.RETURN)
    return events, tuple(returned_as(event.value_place, event.value) for event in returns)


# The same in an evaluation step, where a Trainer before 4.57.1 passes no count.
_EVALUATING = ASSUMED | dict.fromkeys(
    ("self.model_accepts_loss_kwargs", "self.is_in_train", "model.training", "self.model.training"), False
)


def unguarded_uses(
    run: Interpreter, function: Function, arguments: Mapping[str, Value], returns: tuple[Returned, ...]
) -> tuple[Place, ...]:
    """Where the function computes with a count that the Trainer may not pass; asked of those that divide by it."""
    if not any(term.power_of(FactorKind.GLOBAL_COUNT) for one in returns for term in one.terms or ()):
        return ()
    run.truths = dict(_EVALUATING)
    run.unguarded.clear()
    events, reads = list(run.events), list(run.loss_reads)
    run.run_function(function, {name: _without_count(value) for name, value in arguments.items()})
    run.events, run.loss_reads = events, reads
    return tuple(dict.fromkeys(run.unguarded))


def _without_count(value: Value) -> Value:
    match value:
        case Count(is_trainers=True):
            return NO_COUNT
        case Table(entries=entries):
            return Table(tuple((name, _without_count(one)) for name, one in entries), value.rest)
    return value


def classes_of(run: Interpreter, parsed: ParsedFile) -> Iterator[Class]:
    """The classes of a file, those inside functions with what their function binds before them."""
    module = run.names.module(parsed)
    if not _INDENTED_CLASS.search(parsed.source.text):
        yield from (Class(node, module) for node in parsed.tree.body if isinstance(node, ast.ClassDef))
        return
    todo: list[tuple[ast.AST, list[FunctionNode]]] = [(parsed.tree, [])]
    while todo:
        node, outer = todo.pop(0)
        for child in children(node):
            if isinstance(child, ast.ClassDef):
                yield Class(child, closure(run, module, outer))
                todo.append((child, outer))
            elif isinstance(child, FunctionNode) and parsed.mentions(child, "class "):
                todo.append((child, [*outer, child]))
            elif isinstance(child, ast.stmt):
                todo.append((child, outer))


def parameter_of(parsed: ParsedFile, method: FunctionNode | ast.Lambda) -> Parameter:
    """How the count can come in."""
    arguments = method.args
    name = COUNT if COUNT in parameter_names(method) else None
    positional = positional_names(method)
    if name is None and isinstance(method, FunctionNode) and method.name == "training_step" and len(positional) > 3:
        name = positional[3]
    return Parameter(
        name,
        arguments.kwarg.arg if arguments.kwarg else None,
        arguments.vararg.arg if arguments.vararg else None,
        Place(parsed.path, name_span(parsed, method)),
    )


def name_span(parsed: ParsedFile, method: FunctionNode | ast.Lambda) -> Span:
    """The function's name, on its `def` line; all of a lambda."""
    span = parsed.span_of(method)
    if isinstance(method, ast.Lambda):
        return span
    start = span.start
    line = parsed.source.lines[start.row - 1]
    column = line.index(method.name, start.column - 1) + 1 if method.name in line[start.column - 1 :] else start.column
    return Span(Position(start.row, column), Position(start.row, column + len(method.name)))


def returned_as(place: Place, value: Value) -> Returned:
    """The losses of a value that is handed over at `place`."""
    losses = list(losses_of(value, place))
    sums = tuple(dict.fromkeys(loss.terms for loss in losses))
    terms = tuple(dict.fromkeys(term for one in sums for term in one))
    added = tuple(dict.fromkeys(where for loss in losses for where in loss.added))
    return Returned(place, terms if sums else None, sums, _partly(value), added=added)


def _partly(value: Value) -> bool:
    """Is there a path on which the loss is not known to be one?"""
    for one in alternatives(value):
        match one:
            case Items(values=(first, *_)):
                if _partly(first):
                    return True
            case Unknown() | Symbol():
                return True
    return False


def losses_of(value: Value, place: Place) -> Iterator[Loss]:
    """The losses that a returned value may be: `loss`, `(loss, outputs)`, `outputs`, `{"loss": loss}`."""
    for one in alternatives(value):
        match one:
            case Loss():
                yield one
            case Product(factors=factors) if any(
                isinstance(f, Count) and f.is_trainers and p < 0 for f, _, p in factors
            ):
                yield _divided(factors, place)
            case Items(values=(first, *_)):
                yield from losses_of(first, place)
            case Output():
                yield from losses_of(one.loss, place)
            case Table():
                yield from losses_of(one.get("loss"), place)
            case Built():  # a dataclass of transformers' or of the project's dependencies
                yield from losses_of(one.argument(0, "loss") or UNKNOWN, place)


def _divided(factors: tuple[tuple[Value, str, int], ...], place: Place) -> Loss:
    """Something that could not be followed, divided by the count."""
    text = next((text for value, text, power in factors if power > 0 and not isinstance(value, Count)), "the loss")
    site = LossSite(text, Reduction.UNKNOWN, Level.UNKNOWN, place, place, Confidence.POSSIBLE)
    return Loss((LossTerm(site, tuple(factor_of(by, power, text, place) for by, text, power in factors)),))
