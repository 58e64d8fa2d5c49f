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
_FLAG = b"accepts_loss_kwargs"


def accepts_count(run: Interpreter, cls: Class) -> Answer:
    """No, where every model of the project's own that this class is seen to train has a forward without **kwargs."""
    own = cls.scope.parsed
    with Interpreter(run.project, run.knowledge) as other:
        found = [answer for home in _homes(run, own, cls.node.name) for answer in _answers(other, home, cls)]
    if not found or Answer.UNKNOWN in found:
        return Answer.UNKNOWN
    return Answer.NO if set(found) == {Answer.NO} else Answer.YES


def _homes(run: Interpreter, own: ParsedFile, name: str) -> Iterator[ParsedFile]:
    yield own
    paths = [path for path in run.project.mentioning(name.encode()) if path.suffix == ".py"]
    for path in paths[:MAX_HOMES]:
        home = run.project.file(path)
        if home is not None and home is not own and f"{name}(".encode() in home.source.data:
            yield home


def _answers(run: Interpreter, home: ParsedFile, cls: Class) -> Iterator[Answer]:
    name = cls.node.name
    if f"{name}(".encode() not in home.source.data:
        return
    run.events = []
    run_roots(run, home, roots_of(home.tree, {name}))
    place = (cls.scope.parsed.path.resolve(), cls.node.lineno)
    for event in run.events:
        callee = event.driver
        if event.kind is not EventKind.TRAINER or not isinstance(callee, Class) or not isinstance(event.value, Built):
            continue
        if (callee.scope.parsed.path.resolve(), callee.node.lineno) == place:
            model = event.value.argument(None, "model") or UNKNOWN
            yield from (_of_model(run, one) for one in alternatives(model))


def _of_model(run: Interpreter, model: Value) -> Answer:
    if isinstance(model, Model) and model.head:
        return Answer.YES
    if not isinstance(model, Instance):
        return Answer.UNKNOWN
    found = run.names.method(model.cls, "forward")
    if found is None or _FLAG in found[0].scope.parsed.source.data:
        return Answer.UNKNOWN
    forward: ast.FunctionDef | ast.AsyncFunctionDef = found[1]
    return Answer.YES if forward.args.kwarg is not None else Answer.NO
