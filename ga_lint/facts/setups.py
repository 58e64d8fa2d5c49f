"""How is a Trainer set up: over how many micro-batches does it accumulate, and which head does it train?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from ga_lint.facts.events import Event, EventKind
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.lineage import lineage_of
from ga_lint.facts.model import Argument, Arguments, Place, TrainerSetup
from ga_lint.facts.optouts import declined_for_models, opt_outs
from ga_lint.facts.roots import roots_of, run_roots
from ga_lint.facts.values import UNKNOWN, Built, Class, Const, External, Model, Symbol, Value, alternatives
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.text import last_name

_FUNCTION = "compute_loss_func"
STEPS, SMOOTHING, DEEPSPEED = "gradient_accumulation_steps", "label_smoothing_factor", "deepspeed"


def arguments_of(run: Interpreter, parsed: ParsedFile) -> tuple[Arguments, ...]:
    """Every call in this file that builds training arguments of transformers or of a library that extends them."""
    scope = run.names.module(parsed)
    found = []
    for call in parsed.find(ast.Call):
        last = last_name(call.func)
        if not last.endswith(("TrainingArguments", "Config", "Args")):
            continue
        called = next(_named(run, value) for value in alternatives(run.module_expression(call.func, scope)))
        if called:
            found.append(_arguments(run, parsed, call, called))
    return tuple(found)


def _named(run: Interpreter, value: Value) -> str:
    """The library's class that is called, or that the project's class extends; empty for any other."""
    values = run.names.ancestry(value) if isinstance(value, Class) else iter([value])
    for one in values:
        name = one.name if isinstance(one, External) else ""
        root, last = name.partition(".")[0], name.rpartition(".")[2]
        if last.endswith("TrainingArguments") or (last.endswith("Config") and root in ("trl", "unsloth")):
            return name
    return ""


def _arguments(run: Interpreter, parsed: ParsedFile, call: ast.Call, called: str) -> Arguments:
    place = Place(parsed.path, parsed.span_of(call))
    scope = run.names.module(parsed)
    given: dict[str, Argument] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            given.setdefault(STEPS, Argument(place, "**"))
        elif keyword.arg in (STEPS, SMOOTHING, DEEPSPEED):
            value = _number(run.module_expression(keyword.value, scope))
            where = Place(parsed.path, parsed.span_of(keyword))
            given[keyword.arg] = Argument(where, ast.unparse(keyword.value), value)
    return Arguments(place, called, given.get(STEPS), given.get(SMOOTHING), given.get(DEEPSPEED))


def _number(value: Value) -> float | None:
    match value:
        case Const(value=int() | float() as number):
            return float(number)
        case Symbol(value=number):
            return number
    return None


def setups_of(run: Interpreter, parsed: ParsedFile, known: tuple[Arguments, ...]) -> tuple[TrainerSetup, ...]:
    """Every Trainer that this file builds, followed to where its model and its arguments were made."""
    calls = {last_name(call.func) for call in parsed.find(ast.Call) if _builds_trainer(call)}
    run_roots(run, parsed, roots_of(parsed, calls))
    by_place = {one.place: one for one in known}
    found: dict[Place, TrainerSetup] = {}
    for event in run.events:
        if event.kind is EventKind.TRAINER and event.place.path == parsed.path:
            setup = _setup(run, parsed, event, by_place)
            if setup is not None:
                found.setdefault(event.place, setup)
    return tuple(found.values())


def _builds_trainer(call: ast.Call) -> bool:
    given = [keyword.arg for keyword in call.keywords]
    return last_name(call.func).endswith("Trainer") or "train_dataset" in given


def _setup(run: Interpreter, parsed: ParsedFile, event: Event, known: dict[Place, Arguments]) -> TrainerSetup | None:
    built, callee = event.value, event.driver
    assert isinstance(built, Built)
    if isinstance(callee, Class):
        lineage = lineage_of(run, callee)
        trainer = lineage.base if lineage else ""
        override = _override(run, callee)
        own_loss = override is not None
        opted_out = opt_outs(run, callee)
    else:
        row = run.knowledge.trainers.get(built.name)
        trainer = built.name if row else ""
        override = None
        own_loss = row is not None and row.loss != "token"
        opted_out = tuple(declined_for_models(parsed))
    if not trainer:
        return None
    plain = not isinstance(callee, Class) or run.names.method(callee, "__init__") is None
    model = built.argument(0 if plain else None, "model") or UNKNOWN
    arguments = built.argument(1 if plain else None, "args") or UNKNOWN
    function = built.argument(None, _FUNCTION) is not None
    return TrainerSetup(
        place=event.place,
        scope=event.scope,
        trainer=trainer,
        model=_model_place(parsed, event, plain),
        head=next(_heads(model), None),
        arguments=next(_known(arguments, known), None),
        own_loss=own_loss or function,
        override=override,
        function=function or (isinstance(callee, Class) and _hands_function(run, callee)),
        opted_out=opted_out,
    )


def _override(run: Interpreter, cls: Class) -> Place | None:
    """The class's own `compute_loss`, wherever it stands."""
    found = run.names.method(cls, "compute_loss")
    if found is None:
        return None
    home = found[0].scope.parsed
    return Place(home.path, home.span_of(found[1]))


def _hands_function(run: Interpreter, cls: Class) -> bool:
    """Does a class of the project hand a function to the Trainer below it?"""
    ancestry = (one for one in run.names.ancestry(cls) if isinstance(one, Class))
    return any(
        _FUNCTION.encode() in one.scope.parsed.source.data and _FUNCTION in ast.unparse(one.node) for one in ancestry
    )


def _model_place(parsed: ParsedFile, event: Event, plain: bool) -> Place | None:
    """Where the model is handed over."""
    for call in parsed.find(ast.Call):
        if parsed.span_of(call) == event.place.span:
            named = (keyword.value for keyword in call.keywords if keyword.arg == "model")
            node = next(named, call.args[0] if plain and call.args else None)
            return Place(parsed.path, parsed.span_of(node)) if node is not None else None
    return None


def _heads(model: Value) -> Iterator[str]:
    """The class that made the model, where one of transformers' did: `AutoModelForMaskedLM`."""
    for one in alternatives(model):
        if isinstance(one, Model) and one.head:
            parts = one.head.split(".")
            yield next((part for part in reversed(parts) if part[:1].isupper()), one.head)


def _known(value: Value, known: dict[Place, Arguments]) -> Iterator[Arguments]:
    """The arguments as they were built, with the number that reaches them on this path."""
    for one in alternatives(value):
        if isinstance(one, Built) and one.place in known:
            arguments = known[one.place]
            number = _number(one.argument(None, STEPS) or UNKNOWN)
            if arguments.steps is not None and number is not None:
                arguments = replace(arguments, steps=replace(arguments.steps, value=number))
            yield arguments
