"""Does this class reach transformers' Trainer, and how do we know?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import UNKNOWN_BASE
from ga_lint.facts.values import Class, External, Unknown, alternatives
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

PREPARES = "_prepare_inputs"
METHODS = ("compute_loss", "training_step", PREPARES)
_OF_TRANSFORMERS = (b"import transformers", b"from transformers", b"from trl", b"num_items_in_batch")
MAX_HOMES = 16  # files that are searched for a class that combines a mixin with a Trainer


class Lineage(Struct, frozen=True):
    """What a class descends from."""

    base: str
    confidence: Confidence
    per_sample: bool


def lineage_of(run: Interpreter, cls: Class) -> Lineage | None:
    """The external Trainer that a class reaches, by its own bases or by those of a class that mixes it in."""
    found, unknown_base = _by_bases(run, cls)
    if found is not None and _loops_by_itself(run, cls):
        return replace(found, confidence=Confidence.POSSIBLE)  # a loop of its own calls what it likes
    if found is not None or not _takes_what_trainers_pass(cls):
        return found
    if unknown_base:
        return Lineage(UNKNOWN_BASE, Confidence.LIKELY, False)
    return _by_heirs(run, cls)


def _loops_by_itself(run: Interpreter, cls: Class) -> bool:
    """Is there a training loop of the project's own, and not only something that happens around super's?"""
    found = run.names.method(cls, "_inner_training_loop")
    return found is not None and "super()._inner_training_loop" not in ast.unparse(found[1])


def _by_bases(run: Interpreter, cls: Class) -> tuple[Lineage | None, bool]:
    """The Trainer among the ancestors; whether one of them could not be told."""
    unknown_base = False
    for ancestor in run.names.ancestry(cls):
        for one in alternatives(ancestor):
            if isinstance(one, External):
                found = _external(run, cls, one.name)
                if found is not None:
                    return found, False
            unknown_base = unknown_base or isinstance(one, Unknown)
    return None, unknown_base


def _external(run: Interpreter, cls: Class, name: str) -> Lineage | None:
    row = run.knowledge.trainers.get(name)
    if row is not None:
        return Lineage(name, Confidence.CERTAIN, row.loss == "sample")
    if not name.rpartition(".")[2].endswith("Trainer"):
        return None
    root = name.partition(".")[0]
    if root in run.knowledge.foreign_trainers:
        return None
    if root in run.knowledge.libraries:
        return Lineage(name, Confidence.LIKELY, False)
    if "." not in name.lstrip(".") or not _takes_what_trainers_pass(cls):
        return None
    # timid: a package that is not here may have a Trainer of its own, unless the file speaks of transformers
    speaks = any(word in cls.scope.parsed.source.data for word in _OF_TRANSFORMERS)
    return Lineage(name, Confidence.LIKELY if speaks else Confidence.POSSIBLE, False)


def _takes_what_trainers_pass(cls: Class) -> bool:
    """Does a method of its have the parameters that the Trainer passes?"""
    for statement in cls.node.body:
        if isinstance(statement, FunctionNode) and statement.name in METHODS:
            names = [argument.arg for argument in statement.args.args]
            if names[1:3] == ["model", "inputs"] or statement.name == PREPARES:
                return True
    return False


def _by_heirs(run: Interpreter, mixin: Class) -> Lineage | None:
    """A mixin is a Trainer when a class of the project combines it with one, here or in another file."""
    homes = [mixin.scope.parsed, *_files_naming(run, mixin)]
    seen: set[tuple[object, int]] = set()
    todo = [mixin]
    while todo:
        parent = todo.pop(0)
        for heir in _heirs(run, parent, homes):
            key = (heir.scope.parsed.path, heir.node.lineno)
            if key in seen:
                continue
            seen.add(key)
            found, _ = _by_bases(run, heir)
            if found is not None:
                return found
            todo.append(heir)
    return None


def _files_naming(run: Interpreter, mixin: Class) -> Iterator[ParsedFile]:
    own = mixin.scope.parsed.path.resolve()
    paths = run.project.scripts_naming(mixin.node.name)
    for path in paths[:MAX_HOMES]:
        parsed = run.project.file(path) if path.resolve() != own else None
        if parsed is not None:
            yield parsed


def _heirs(run: Interpreter, parent: Class, homes: list[ParsedFile]) -> Iterator[Class]:
    """The classes of these files that have `parent` among their bases."""
    place = (parent.scope.parsed.path, parent.node.lineno)
    for home in homes:
        scope = run.names.module(home)
        for node in home.tree.body:
            if isinstance(node, ast.ClassDef) and node.bases and node is not parent.node:
                heir = Class(node, scope)
                bases = [one for base in run.names.base_classes(heir) for one in alternatives(base)]
                if any(isinstance(b, Class) and (b.scope.parsed.path, b.node.lineno) == place for b in bases):
                    yield heir
