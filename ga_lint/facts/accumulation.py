"""Over how many batches does a Lightning Trainer accumulate? Asked of the file first, then of its project."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from msgspec import Struct

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model import Accumulation, Answer, DeepSpeedTrainer, Place
from ga_lint.project import Project
from ga_lint.source import Position, Span
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.text import last_name

SETTING = "accumulate_grad_batches"
_IN_YAML = re.compile(rf"^[ \t]*{SETTING}[ \t]*:[ \t]*(\d+|\$\{{.+\}})", re.MULTILINE)  # a number, or computed
_LIBRARY = re.compile(rb"\b(?:import|from)\s+(?:lightning|pytorch_lightning)\b")


class _Setting(Struct, frozen=True):
    """One place that sets the steps; `value` is None where it is not a number."""

    place: Place
    text: str
    value: float | None


def accumulation_of(parsed: ParsedFile, project: Project) -> Accumulation:
    """What the Trainer of this file accumulates; of any file of the project where this one builds none."""
    own = list(_settings(parsed))
    found = _decided(own, Confidence.CERTAIN)
    if found is not None:
        return found
    if _builds_trainer(parsed):
        return Accumulation(Answer.NO, Confidence.CERTAIN)
    elsewhere = groupby(_elsewhere(parsed, project), lambda setting: _shared(setting.place.path, parsed.path))
    decided = (_decided(list(settings), Confidence.LIKELY) for _, settings in elsewhere)
    return next(filter(None, decided), Accumulation(Answer.UNKNOWN))


def _elsewhere(parsed: ParsedFile, project: Project) -> list[_Setting]:
    """The settings of other files, the nearest first: a repository can hold many small projects."""
    found: list[_Setting] = []
    for path in project.mentioning(SETTING.encode()):
        if path.suffix != ".py":
            found.extend(_in_yaml(path.read_text(encoding="utf-8", errors="replace"), path))
        elif (other := project.file(path)) is not None:
            found.extend(_settings(other))
    return sorted(found, key=lambda setting: -_shared(setting.place.path, parsed.path))


def _shared(one: Path, other: Path) -> int:
    """How many folders lead to both."""
    return len(Path(os.path.commonpath([os.path.abspath(one), os.path.abspath(other)])).parts)


def deepspeed_trainers(parsed: ParsedFile) -> Iterator[DeepSpeedTrainer]:
    """Trainers that accumulate on a DeepSpeed strategy, with the steps and the strategy in one call."""
    for call in _trainers(parsed):
        keywords = {keyword.arg: keyword for keyword in call.keywords}
        steps, strategy = keywords.get(SETTING), keywords.get("strategy")
        if steps is None or strategy is None or "deepspeed" not in ast.unparse(strategy.value).lower():
            continue
        value = _number(steps.value)
        if value is None or value > 1:
            yield DeepSpeedTrainer(Place(parsed.path, parsed.span_of(steps)), value)


def _decided(settings: list[_Setting], confidence: Confidence) -> Accumulation | None:
    """The first setting above one decides, then one that is not a number; ones alone say that nothing accumulates."""
    numbered = [one for one in settings if one.value is not None]
    many = [one for one in numbered if one.value is not None and one.value > 1]
    named = [one for one in settings if one.value is None]
    if many or named:
        first = (many or named)[0]
        return Accumulation(Answer.YES, confidence, first.text, first.value, first.place)
    return Accumulation(Answer.NO, confidence) if numbered else None


def _settings(parsed: ParsedFile) -> Iterator[_Setting]:
    for node in parsed.walked:
        match node:
            case ast.keyword(arg="accumulate_grad_batches", value=value):
                yield from _setting(parsed, node, value)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == SETTING:
                        yield from _setting(parsed, key, value)
            case ast.Assign(targets=[ast.Attribute(attr="accumulate_grad_batches") as target], value=value):
                if not isinstance(target.value, ast.Name) or target.value.id != "self":  # that is a module's own note
                    yield from _setting(parsed, node, value)
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value="accumulate_grad_batches"))], value=value):
                yield from _setting(parsed, node, value)  # `Trainer(**params)`
            case ast.Call(func=func, args=[ast.Dict(values=values), *_]) if last_name(func).endswith(
                "AccumulationScheduler"
            ):
                for value in values:
                    yield from _setting(parsed, value, value)
    default = parsed.numbers.get(SETTING)
    if default is not None and default > 1:
        yield _Setting(Place(parsed.path, parsed.span_of(parsed.defaults[SETTING])), SETTING, default)


def _setting(parsed: ParsedFile, node: ast.AST, value: ast.expr) -> Iterator[_Setting]:
    number = _number(value)
    if number is None and isinstance(value, ast.Constant):
        return  # None: the default
    yield _Setting(Place(parsed.path, parsed.span_of(node)), ast.unparse(value), number)


def _number(node: ast.expr) -> float | None:
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool)
    return float(node.value) if is_number else None  # type: ignore[attr-defined]


def _in_yaml(text: str, path: Path) -> Iterator[_Setting]:
    for found in _IN_YAML.finditer(text):
        row = text.count("\n", 0, found.start(1)) + 1
        column = found.start(1) - (text.rfind("\n", 0, found.start(1)) + 1) + 1
        span = Span(Position(row, column), Position(row, column + len(found.group(1))))
        number = float(found.group(1)) if found.group(1).isdecimal() else None
        yield _Setting(Place(path, span), found.group(1), number)


def _builds_trainer(parsed: ParsedFile) -> bool:
    """Is a Trainer built here with all its arguments in sight?"""
    calls = list(_trainers(parsed))
    return bool(calls) and all(keyword.arg is not None for call in calls for keyword in call.keywords)


def _trainers(parsed: ParsedFile) -> Iterator[ast.Call]:
    if _LIBRARY.search(parsed.source.data):
        yield from (node for node in parsed.of(ast.Call) if last_name(node.func) == "Trainer")
