"""Does the model that this class trains take the count? Looked for where the project builds the Trainer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from ga_lint.diagnostics import Step
from ga_lint.facts.handed_functions import FUNCTION, hands_function
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.events import EventKind
from ga_lint.facts.model import Answer
from ga_lint.facts.received import name_span
from ga_lint.facts.roots import MAX_HEIRS, heirs_in, roots_of, run_roots
from ga_lint.facts.values import UNKNOWN, Built, Class, Function, Instance, Model, Value, alternatives
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

MAX_HOMES = 8  # files that are searched for a place where the Trainer is built
_FLAG = "accepts_loss_kwargs"


class Accepting(Struct, frozen=True):
    """Is there a count for this class? `steps` says where that was read, of a model that takes none."""

    answer: Answer
    steps: tuple[Step, ...] = ()


_UNKNOWN = Accepting(Answer.UNKNOWN)


def accepts_count(run: Interpreter, cls: Class) -> Accepting:
    """No, where every model of the project's own that this class is seen to train has a forward without **kwargs."""
    own = cls.scope.parsed
    assigned = _assigned(run, cls)
    if assigned is not None:
        return Accepting(assigned)
    with Interpreter(run.project, run.knowledge) as other:
        homes = _homes(run, own, cls.node.name)
        found = [answer for home, names in homes for answer in _answers(other, home, names, cls)]
        found = found or list(_demanded(run, cls))
    answers = {one.answer for one in found}
    if not found or Answer.UNKNOWN in answers:
        return _UNKNOWN
    if answers == {Answer.NO}:
        return Accepting(Answer.NO, tuple(dict.fromkeys(step for one in found for step in one.steps)))
    return Accepting(Answer.YES)


def _assigned(run: Interpreter, cls: Class) -> Answer | None:
    """What the class or a base of it says of every model: `self.model_accepts_loss_kwargs = True`."""
    for one in run.names.ancestry(cls):
        if not isinstance(one, Class):
            continue
        for node in one.scope.parsed.find(ast.Assign, one.node):
            value = _said(node, f"model_{_FLAG}")
            if value is not None and value != "False":
                return Answer.YES if value == "True" else Answer.UNKNOWN
    # With a function for the Trainer to call the count is passed for every model.
    return Answer.UNKNOWN if hands_function(run, cls) else None


def _said(node: ast.Assign, flag: str) -> str | None:
    """The value that a flag is set to, as it is written."""
    named = any(isinstance(target, ast.Attribute) and target.attr == flag for target in node.targets)
    return ast.unparse(node.value) if named else None


def _homes(run: Interpreter, own: ParsedFile, name: str) -> Iterator[tuple[ParsedFile, set[str]]]:
    """The files that may build the class or one that extends it, and what they call it."""
    known = [own, *(home for home in _naming(run, name) if home is not own)]
    families = [(home, {name, *heirs_in(home, name)}) for home in known]
    yield from families
    heirs = dict.fromkeys(heir for _, names in families for heir in sorted(names - {name}))
    for heir in islice(heirs, MAX_HEIRS):
        asked = [home for home, names in families if heir in names]
        yield from ((home, {heir}) for home in _naming(run, heir) if not any(home is one for one in asked))


def _naming(run: Interpreter, name: str) -> Iterator[ParsedFile]:
    homes = (run.project.file(path) for path in run.project.scripts_naming(name)[:MAX_HOMES])
    yield from (home for home in homes if home is not None)


def _answers(run: Interpreter, home: ParsedFile, names: set[str], cls: Class) -> Iterator[Accepting]:
    if not any(f"{name}(".encode() in home.source.data for name in names):
        return
    said = any(value != "False" for value in _said_of_objects(home))
    run.events = []
    run_roots(run, home, roots_of(home, names))
    for event in run.events:
        callee = event.driver
        if event.kind is not EventKind.TRAINER or not isinstance(callee, Class) or not isinstance(event.value, Built):
            continue
        if any(_is_same(one, cls) for one in run.names.ancestry(callee)):
            plain = run.names.method(callee, "__init__") is None
            model = event.value.argument(0 if plain else None, "model") or UNKNOWN
            function = event.value.argument(None, FUNCTION)
            known = function is None and not said
            yield from (_of_model(run, one) if known else _UNKNOWN for one in alternatives(model))


def _said_of_objects(home: ParsedFile) -> Iterator[str]:
    """`model.accepts_loss_kwargs = True`, `trainer.model_accepts_loss_kwargs = True`: whichever that is."""
    if _FLAG.encode() in home.source.data:
        for node in home.speaking(ast.Assign, _FLAG):
            for flag in (_FLAG, f"model_{_FLAG}"):
                value = _said(node, flag)
                if value is not None:
                    yield value


def _is_same(one: Value, cls: Class) -> bool:
    if not isinstance(one, Class):
        return False
    same_file = one.scope.parsed.path.resolve() == cls.scope.parsed.path.resolve()
    return same_file and one.node.lineno == cls.node.lineno


def _demanded(run: Interpreter, cls: Class) -> Iterator[Accepting]:
    """`if not isinstance(model, Net): raise` in the class itself."""
    for call in cls.scope.parsed.find(ast.Call, cls.node):
        match call:
            case ast.Call(func=ast.Name(id="isinstance"), args=[model, ast.Name() as kind]):
                if ast.unparse(model).rpartition(".")[2] == "model":
                    for one in alternatives(run.module_expression(kind, cls.scope)):
                        yield _of_model(run, Instance(one) if isinstance(one, Class) else one)


def _of_model(run: Interpreter, model: Value) -> Accepting:
    if isinstance(model, Model) and model.head:
        return Accepting(Answer.YES)
    if isinstance(model, Model) and model.inner is not None:
        return _of_model(run, model.inner)  # the project's own class, loaded
    if not isinstance(model, Instance):
        return _UNKNOWN
    declared = _declared(run, model.cls)
    if declared is not None:
        return declared
    found = run.names.method(model.cls, "forward")
    if found is None or _is_wrapped(run, *found):
        return _UNKNOWN
    owner, forward = found
    if forward.args.kwarg is not None:
        return Accepting(Answer.YES)
    home = owner.scope.parsed
    what = f"`{model.cls.node.name}.forward` takes no **kwargs"
    return Accepting(Answer.NO, (Step(what, home.path, name_span(home, forward)),))


def _is_wrapped(run: Interpreter, owner: Class, forward: FunctionNode) -> bool:
    """May a decorator of the project's own have put another signature in its place?"""
    values = (run.module_expression(_called(one), owner.scope) for one in forward.decorator_list)
    return any(isinstance(one, Function) for value in values for one in alternatives(value))


def _called(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _declared(run: Interpreter, cls: Class) -> Accepting | None:
    """What the network itself says, or a base of it: `accepts_loss_kwargs = False` in its class."""
    for one in run.names.ancestry(cls):
        for node in one.scope.parsed.find(ast.Assign, one.node) if isinstance(one, Class) else ():
            match node:
                case ast.Assign(targets=[ast.Name(id="accepts_loss_kwargs")], value=ast.Constant(value=False)):
                    home = one.scope.parsed  # type: ignore[union-attr]
                    what = f"`{cls.node.name}` says {_FLAG} = False"
                    return Accepting(Answer.NO, (Step(what, home.path, home.span_of(node)),))
                case ast.Assign(targets=targets) if any(ast.unparse(target).endswith(_FLAG) for target in targets):
                    return _UNKNOWN
    return None
