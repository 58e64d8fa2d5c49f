"""Does the model that this class trains take the count? Looked for where the project builds the Trainer."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.facts.events import EventKind
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import Answer
from ga_lint.facts.roots import roots_of, run_roots
from ga_lint.facts.values import UNKNOWN, Built, Class, Instance, Model, Value, alternatives
from ga_lint.syntax.parsed import ParsedFile

MAX_HOMES = 8  # files that are searched for a place where the Trainer is built
_FLAG = "accepts_loss_kwargs"


def accepts_count(run: Interpreter, cls: Class) -> Answer:
    """No, where every model of the project's own that this class is seen to train has a forward without **kwargs."""
    own = cls.scope.parsed
    with Interpreter(run.project, run.knowledge) as other:
        found = [answer for home in _homes(run, own, cls.node.name) for answer in _answers(other, home, cls)]
        found = found or list(_demanded(run, cls))
    if not found or Answer.UNKNOWN in found:
        return Answer.UNKNOWN
    return Answer.NO if set(found) == {Answer.NO} else Answer.YES


def _homes(run: Interpreter, own: ParsedFile, name: str) -> Iterator[ParsedFile]:
    yield own
    paths = [path for path in run.project.mentioning(name.encode()) if path.suffix == ".py"]
    for path in paths[:MAX_HOMES]:
        home = run.project.file(path)
        if home is not None and home is not own:
            yield home


def _answers(run: Interpreter, home: ParsedFile, cls: Class) -> Iterator[Answer]:
    names = {cls.node.name, *_heirs(home, cls.node.name)}
    if not any(f"{name}(".encode() in home.source.data for name in names):
        return
    run.events = []
    run_roots(run, home, roots_of(home.tree, names))
    for event in run.events:
        callee = event.driver
        if event.kind is not EventKind.TRAINER or not isinstance(callee, Class) or not isinstance(event.value, Built):
            continue
        if any(_is_same(one, cls) for one in run.names.ancestry(callee)):
            model = event.value.argument(None, "model") or UNKNOWN
            yield from (_of_model(run, one) for one in alternatives(model))


def _heirs(home: ParsedFile, name: str) -> Iterator[str]:
    """Classes of this file that have it among their bases."""
    for node in home.tree.body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).rpartition(".")[2] == name for base in node.bases):
            yield node.name


def _is_same(one: Value, cls: Class) -> bool:
    if not isinstance(one, Class):
        return False
    same_file = one.scope.parsed.path.resolve() == cls.scope.parsed.path.resolve()
    return same_file and one.node.lineno == cls.node.lineno


def _demanded(run: Interpreter, cls: Class) -> Iterator[Answer]:
    """`if not isinstance(model, Net): raise` in the class itself."""
    for call in cls.scope.parsed.find(ast.Call, cls.node):
        match call:
            case ast.Call(func=ast.Name(id="isinstance"), args=[model, ast.Name() as kind]):
                if ast.unparse(model).rpartition(".")[2] == "model":
                    for one in alternatives(run.module_expression(kind, cls.scope)):
                        yield _of_model(run, Instance(one) if isinstance(one, Class) else one)


def _of_model(run: Interpreter, model: Value) -> Answer:
    if isinstance(model, Model) and model.head:
        return Answer.YES
    if not isinstance(model, Instance):
        return Answer.UNKNOWN
    found = run.names.method(model.cls, "forward")
    if found is None or _declares(found[0]):
        return Answer.UNKNOWN
    forward: ast.FunctionDef | ast.AsyncFunctionDef = found[1]
    return Answer.YES if forward.args.kwarg is not None else Answer.NO


def _declares(cls: Class) -> bool:
    """Does the network itself say whether it takes the count?"""
    targets = (target for node in cls.scope.parsed.find(ast.Assign, cls.node) for target in node.targets)
    return any(ast.unparse(target).endswith(_FLAG) for target in targets)
