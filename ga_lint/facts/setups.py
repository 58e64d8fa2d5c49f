"""How is a Trainer set up: over how many micro-batches does it accumulate, and which head does it train?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.facts.handed_functions import FUNCTION, hands_function
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.events import Event, EventKind
from ga_lint.facts.lineage import lineage_of
from ga_lint.facts.model import Argument, Arguments, Place, TrainerSetup
from ga_lint.facts.optouts import declined_for_models, opt_outs
from ga_lint.facts.roots import roots_of, run_roots
from ga_lint.facts.values import UNKNOWN, Built, Class, Const, External, Model, Symbol, Unknown, Value, alternatives
from ga_lint.syntax.bindings import imported_names
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.text import last_name

STEPS, SMOOTHING, DEEPSPEED = "gradient_accumulation_steps", "label_smoothing_factor", "deepspeed"


class _Trainer(Struct, frozen=True):
    """A class that is a Trainer of transformers'."""

    name: str  # the one that it reaches
    override: Place | None  # its own `compute_loss`
    own_loss: bool  # which model it gets says nothing of the loss


_ARGUMENTS = ("TrainingArguments", "Config", "Args")  # how the classes of arguments are called


def arguments_of(run: Interpreter, parsed: ParsedFile) -> tuple[Arguments, ...]:
    """Every call in this file that builds training arguments of transformers or of a library that extends them."""
    scope = run.names.module(parsed)
    found = []
    for call in parsed.speaking(ast.Call, *_ARGUMENTS):
        if not last_name(call.func).endswith(_ARGUMENTS):
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
    builds = {call: _told(run, parsed, call) for call in _calls(parsed) if _builds_trainer(call)}
    if all(known is not None and all(one.own_loss for one in known) for known in builds.values()):
        run.only_in = parsed  # which model it gets, and so what other files do, says nothing
    run_roots(run, parsed, roots_of(parsed, {last_name(call.func) for call, known in builds.items() if known != []}))
    by_place = {one.place: one for one in known}
    found: dict[Place, TrainerSetup] = {}
    for event in run.events:
        if event.kind is EventKind.TRAINER and event.place.path == parsed.path:
            setup = _setup(run, parsed, event, by_place)
            if setup is not None:
                found.setdefault(event.place, setup)
    return tuple(found.values())


def _calls(parsed: ParsedFile) -> Iterator[ast.Call]:
    """The calls where a Trainer may be built."""
    return parsed.speaking(ast.Call, "Trainer", "train_dataset")


def _builds_trainer(call: ast.Call) -> bool:
    name = last_name(call.func)
    given = [keyword.arg for keyword in call.keywords]
    return name.endswith("Trainer") or ("train_dataset" in given and name != "__init__")


def _told(run: Interpreter, parsed: ParsedFile, call: ast.Call) -> list[_Trainer] | None:
    """The Trainers that are built there; None where neither the module's names nor an import tell."""
    values = list(_called(run, parsed, call.func))
    if not values or any(isinstance(one, Symbol | Unknown) for one in values):
        return None
    return [found for one in values if (found := _trainer(run, one)) is not None]


def builds_trainer_of_transformers(run: Interpreter, parsed: ParsedFile, call: ast.Call) -> bool:
    """Is it one of transformers', or a class that reaches it? A name that nobody tells is believed."""
    told = _told(run, parsed, call)
    return told is None or bool(told)


def _called(run: Interpreter, parsed: ParsedFile, func: ast.expr) -> Iterator[Value]:
    """What a name of the module, or one that some function imports, stands for; nothing where it is another name."""
    first, scope = func, run.names.module(parsed)
    while isinstance(first, ast.Attribute):
        first = first.value
    if not isinstance(first, ast.Name):
        return
    if first.id in run.project.bindings(parsed).by_name:
        yield from alternatives(run.module_expression(func, scope))
    elif first is func:
        statements: list[ast.Import | ast.ImportFrom] = [
            *parsed.speaking(ast.Import, "import"),
            *parsed.speaking(ast.ImportFrom, "import"),
        ]
        for statement in statements:
            for name, imported in imported_names(statement):
                if name == first.id:
                    yield from alternatives(run.names.imported(imported, scope))


def _trainer(run: Interpreter, callee: Value) -> _Trainer | None:
    """The Trainer that is built where this is called."""
    if isinstance(callee, Class):
        lineage = lineage_of(run, callee)
        override = _override(run, callee)
        name = lineage.base if lineage else ""
    else:
        override = None
        name = callee.name if isinstance(callee, External) and run.knowledge.trainers.get(callee.name) else ""
    row = run.knowledge.trainers.get(name)
    own_loss = override is not None or (row is not None and row.loss != "token")
    return _Trainer(name, override, own_loss) if name else None


def _setup(run: Interpreter, parsed: ParsedFile, event: Event, known: dict[Place, Arguments]) -> TrainerSetup | None:
    built, callee = event.value, event.driver
    assert isinstance(built, Built)
    trainer = _trainer(run, callee)
    if trainer is None:
        return None
    opted_out = opt_outs(run, callee) if isinstance(callee, Class) else ()
    plain = not isinstance(callee, Class) or run.names.method(callee, "__init__") is None
    model = built.argument(0 if plain else None, "model") or UNKNOWN
    arguments = built.argument(1 if plain else None, "args") or UNKNOWN
    function = built.argument(None, FUNCTION) is not None
    return TrainerSetup(
        place=event.place,
        scope=event.scope,
        trainer=trainer.name,
        model=_model_place(parsed, event, plain),
        head=next(_heads(model), None),
        arguments=next(_known(arguments, known), None),
        own_loss=trainer.own_loss or function,
        override=trainer.override,
        function=function or (isinstance(callee, Class) and hands_function(run, callee)),
        opted_out=tuple(dict.fromkeys((*opted_out, *declined_for_models(parsed)))),
    )


def _override(run: Interpreter, cls: Class) -> Place | None:
    """The class's own `compute_loss`, wherever it stands."""
    found = run.names.method(cls, "compute_loss")
    if found is None:
        return None
    home = found[0].scope.parsed
    return Place(home.path, home.span_of(found[1]))


def _model_place(parsed: ParsedFile, event: Event, plain: bool) -> Place | None:
    """Where the model is handed over."""
    for call in _calls(parsed):
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
