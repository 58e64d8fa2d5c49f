"""What does a LightningModule's `training_step` return, and who divides it?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.facts.accumulation import accumulation_of
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.assignments import named
from ga_lint.facts.interpreter.elements import element_of
from ga_lint.facts.interpreter.events import EventKind, Loop
from ga_lint.facts.interpreter.paths import Frame
from ga_lint.facts.model import Accumulation, LightningStep, Place, Returned
from ga_lint.facts.values import (
    UNKNOWN,
    Class,
    External,
    Function,
    Instance,
    Loss,
    Output,
    Table,
    Tensor,
    TensorKind,
    Value,
    alternatives,
)
from ga_lint.project import Project
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.walk import walk

METHOD = "training_step"
HOOK = "on_before_optimizer_step"
AUTOMATIC = "automatic_optimization"


def lightning_modules(run: Interpreter, parsed: ParsedFile) -> Iterator[tuple[Class, FunctionNode]]:
    """The classes of a file that reach LightningModule, each with its own `training_step`."""
    scope = run.names.module(parsed)
    for node in parsed.speaking(ast.ClassDef, METHOD):
        if not parsed.mentions(node, METHOD):
            continue
        for statement in node.body:
            if isinstance(statement, FunctionNode) and statement.name == METHOD:
                cls = Class(node, scope)
                if _is_lightning(run, cls):
                    yield cls, statement


def lightning_steps(run: Interpreter, parsed: ParsedFile, project: Project) -> tuple[LightningStep, ...]:
    """What each `training_step` under automatic optimisation returns."""
    found = []
    for cls, method in lightning_modules(run, parsed):
        if is_manual(run, cls):
            continue
        place = Place(parsed.path, parsed.span_of(method))
        before = len(run.events)
        run.run_function(_bound(run, cls, method), _arguments(run, parsed, cls, method))
        returns = [e for e in run.events[before:] if e.kind is EventKind.RETURN and e.function == place]
        accumulation = accumulation_of(parsed, project)
        hook = run.names.method(cls, HOOK)
        found.append(
            LightningStep(
                place,
                parsed.name_of(method) or method.name,
                tuple(one for event in returns for one in _returned(event.value, event.value_place)),
                accumulation,
                wrapped=tuple(event.value_place for event in returns if _is_wrapped(event.value)),
                inherits_hook=hook is not None and hook[0].node is not cls.node,
                logs_by_returning=any(_logs(one) for event in returns for one in alternatives(event.value)),
                mentions_deepspeed=_mentions_deepspeed(parsed, accumulation, project),
            )
        )
    return tuple(found)


def _logs(value: Value) -> bool:
    """`return {"loss": loss, "log": {...}}`: what a release before 1.0 logs."""
    return isinstance(value, Table) and not {"log", "progress_bar"}.isdisjoint(key for key, _ in value.entries)


def _is_wrapped(value: Value) -> bool:
    return any(isinstance(one, Table | Output) for one in alternatives(value))


def _mentions_deepspeed(parsed: ParsedFile, accumulation: Accumulation, project: Project) -> bool:
    setting = accumulation.place
    other = project.file(setting.path) if setting is not None and setting.path.suffix == ".py" else None
    return any(b"deepspeed" in one.source.data.lower() for one in (parsed, other) if one is not None)


def run_manual_steps(run: Interpreter, parsed: ParsedFile) -> None:
    """Follow every `training_step` that runs backward itself: Lightning's loop over batches is around it."""
    for cls, method in lightning_modules(run, parsed):
        if is_manual(run, cls):
            whole = Place(parsed.path, parsed.span_of(method))
            loop = Loop(run.new_loop_id(), whole, whole, UNKNOWN)
            run.run_function(_bound(run, cls, method), _arguments(run, parsed, cls, method), (loop,))


def is_manual(run: Interpreter, cls: Class) -> bool:
    """Is automatic optimisation switched off, by the class or by the nearest base that says anything of it?"""
    classes = (one.node for one in run.names.ancestry(cls) if isinstance(one, Class))
    said = next(filter(None, map(_said_of_automatic, classes)), set())
    return False in said


def _said_of_automatic(cls: ast.ClassDef) -> set[bool]:
    """What a class sets it to: on the object, in its body, or as a property."""
    found = set()
    for node in walk(cls):
        match node:
            case ast.Assign(targets=targets, value=ast.Constant(value=bool() as said)):
                named = any(_is_automatic(target, in_body=node in cls.body) for target in targets)
            case ast.AnnAssign(target=target, value=ast.Constant(value=bool() as said)):
                named = _is_automatic(target, in_body=node in cls.body)
            case ast.FunctionDef(name=name, body=[*_, ast.Return(value=ast.Constant(value=bool() as said))]):
                named = name == AUTOMATIC
            case _:
                continue
        if named:
            found.add(said)
    return found


def _is_automatic(target: ast.expr, *, in_body: bool) -> bool:
    match target:
        case ast.Attribute(attr=name):
            return name == AUTOMATIC
        case ast.Name(id=name):
            return in_body and name == AUTOMATIC
    return False


def _is_lightning(run: Interpreter, cls: Class) -> bool:
    for ancestor in run.names.ancestry(cls):
        for one in alternatives(ancestor):
            if isinstance(one, External) and one.name.endswith("LightningModule"):
                row = run.knowledge.drivers.get(one.name)
                return row is not None and row.stack == "lightning"
    return False


def _bound(run: Interpreter, cls: Class, method: FunctionNode) -> Function:
    return Function(method, run.names.scope_of(cls), Instance(cls))


def _arguments(run: Interpreter, parsed: ParsedFile, cls: Class, method: FunctionNode) -> dict[str, Value]:
    """The batch, from the module's own loader or a data module's in the same file."""
    parameters = [parameter.arg for parameter in method.args.args[1:]]
    if not parameters:
        return {}
    batch: Value = Tensor(TensorKind.BATCH)
    loader = _loader(run, parsed, cls)
    if loader is not None:
        scope = run.names.module(parsed)
        batch = element_of(run, Frame(scope, parsed.tree, ""), loader)
    return {parameters[0]: named(batch, ast.Name(parameters[0]))}


def _loader(run: Interpreter, parsed: ParsedFile, cls: Class) -> Value | None:
    others = [node for node in parsed.of(ast.ClassDef) if node is not cls.node]
    for one in (cls, *(Class(node, cls.scope) for node in others)):
        found = run.names.method(one, "train_dataloader")
        if found is not None:
            return run.run_function(_bound(run, one, found[1]))
    return None


def _returned(value: Value, place: Place) -> Iterator[Returned]:
    for whole in alternatives(value):
        for one in alternatives(whole.get("loss") if isinstance(whole, Table) else whole):
            loss = one.first if isinstance(one, Output) else one
            if isinstance(loss, Loss):
                yield Returned(place, loss.terms, added=loss.added)
