"""What does the facts layer see in one file, and how large are the windows that its code speaks of?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.engine.scope import Scope
from ga_lint.errors import SourceError
from ga_lint.source import SourceFile
from ga_lint.syntax.parsed import ParsedFile, ParseFailure, parse

if TYPE_CHECKING:
    from ga_lint.facts.model import FileFacts

_BATCH_SIZE = re.compile(r"^(per_device_train_batch_size|train_batch_size|per_gpu_train_batch_size|batch_size)$")
_EVALUATION = re.compile(r"eval|valid|(^|_)(val|test|dev)(_|$)", re.IGNORECASE)


def facts_of(source: SourceFile, scope: Scope) -> FileFacts:
    """All facts of one file; ParseFailure or SourceError where it cannot be parsed."""
    from ga_lint.facts.extract import extract

    parsed = parse(source)
    return extract(parsed, scope.project.beside(parsed.path))


class WindowSize(Struct, frozen=True):
    """The accumulation steps and the batch size around one row, where the code says them with a number."""

    steps: int | None
    steps_text: str  # as written, "" where they are not
    batch_size: int | None


def window_size(source: SourceFile, scope: Scope, row: int) -> WindowSize:
    """Of the window that holds this row; of the file's only training arguments where no window does."""
    parsed = parse(source)
    facts = facts_of(source, scope)
    known: list[tuple[float | None, str]] = []
    for window in facts.windows:
        if window.loop.span.start.row <= row <= window.loop.span.end.row:
            library = window.library
            known += [(window.steps_value, window.steps), (library.steps_value, library.steps)]
    known += [(each.accumulation.steps_value, each.accumulation.steps) for each in facts.lightning_steps]
    known += [(each.steps.value, each.steps.text) for each in facts.arguments if each.steps is not None]
    values = [value for value, _ in known if value is not None]
    return WindowSize(
        steps=int(values[0]) if values else None,
        steps_text=next((text for _, text in known if text), ""),
        batch_size=_only(_batch_sizes(parsed)),
    )


def uncounted_rows(source: SourceFile, scope: Scope) -> frozenset[int]:
    """The rows of Trainer overrides of which every model that the project builds for them takes no count."""
    from ga_lint.facts.model import Answer

    try:
        overrides = facts_of(source, scope).overrides
    except (ParseFailure, SourceError):
        return frozenset()
    return frozenset(each.name.span.start.row for each in overrides if each.accepted is Answer.NO)


def excluding(scope: Scope, path: Path, library: str, installed: str) -> str | None:
    """The requirement that holds for this file and does not admit the installed release, as it is written; or None."""
    from ga_lint.project.releases import admitted

    requirement = scope.project.beside(path).requirement(library)
    if requirement is None or not requirement.specifier:
        return None
    found = admitted(requirement.specifier, (installed,))
    return None if not found or installed in found else f"`{requirement.text}` ({requirement.place})"


def _only(values: Iterator[float | None]) -> int | None:
    """The one number that all of them are."""
    found = set(values)
    only = found.pop() if len(found) == 1 else None
    return None if only is None or only < 1 else int(only)


def _batch_sizes(parsed: ParsedFile) -> Iterator[float | None]:
    """What training loaders and training arguments are given."""
    for call in parsed.find(ast.Call):
        for keyword in call.keywords:
            if keyword.arg is None or not _BATCH_SIZE.match(keyword.arg):
                continue
            if "train" in keyword.arg or not _is_of_evaluation(parsed, call):
                yield _number(parsed, keyword.value)


def _is_of_evaluation(parsed: ParsedFile, call: ast.Call) -> bool:
    line = parsed.source.lines[call.lineno - 1]
    return _EVALUATION.search(line) is not None


def _number(parsed: ParsedFile, node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return float(value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _constants(parsed).get(name, parsed.numbers.get(name))
    return None


def _constants(parsed: ParsedFile) -> dict[str, float]:
    """Numbers that a name is bound to, once, at the top of the file."""
    found: dict[str, float] = {}
    for statement in parsed.tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(value))):
                found[name] = float(value)
    return found
