"""From where is a loop called whose own file does not tell what it trains? `train_one_epoch(model, loader)`, there."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import Stack, Window
from ga_lint.facts.roots import MAX_HEIRS, heirs_in, loop_roots, roots_of, run_roots
from ga_lint.facts.values import Class, Function, Instance, alternatives
from ga_lint.facts.windows import windows_of
from ga_lint.source import Span
from ga_lint.syntax.parameters import parameter_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import last_name

MAX_HOMES = 3  # files that are followed into one loop, the nearest first: a script for each stage of a training
_MAX_CANDIDATES = 40  # files that speak of it; of more, the name is one of everybody's

Decided = Callable[[Window], bool]


class Called(NamedTuple):
    """A file's windows, and the files that call the functions of those which it does not decide itself."""

    windows: list[Window]
    homes: list[tuple[Span, ParsedFile]]  # by the function that is called

    def of(self, window: Window) -> list[ParsedFile]:
        """The files that call the function of this loop."""
        return [home for span, home in self.homes if span.contains(window.loop.span)]


def with_callers(
    run: Interpreter, parsed: ParsedFile, own: Sequence[Window], decided: Decided, distributed: Stack | None
) -> Called:
    """The file's windows; those that are not decided by the file itself as its callers in other files make them."""
    doubtful = [window for window in own if not decided(window)]
    spans = [window.loop.span for window in doubtful]
    spans += [one for one in _handed_drivers(parsed) if not any(window.loop.span.contains(one) for window in own)]
    if not spans:
        return Called(list(own), [])
    with Interpreter(run.project, run.knowledge) as wider:
        homes = _follow(wider, parsed, spans, [window.loop.span for window in doubtful if not window.losses])
        found = [window for window in windows_of(wider, distributed) if window.loop.path == parsed.path]
    told = {window.loop for window in found if decided(window)}
    lossless = {window.loop for window in doubtful} - {window.loop for window in own if window.losses}
    told |= {window.loop for window in found if window.losses} & lossless
    kept = [window for window in own if window.loop not in told or window not in doubtful]
    sure = {window.loop for window in kept}
    return Called(kept + [window for window in found if window.loop in told - sure], homes)


def _handed_drivers(parsed: ParsedFile) -> Iterator[Span]:
    """`model.backward(loss)` where a function is handed `model`, and steps it: an engine, if its caller says so."""
    for function in parsed.find(ast.FunctionDef):
        called: dict[str, list[tuple[str, ast.Call]]] = {"backward": [], "step": []}
        for call in parsed.find(ast.Call, function):
            match call.func:
                case ast.Attribute(value=ast.Name(id=driver), attr="backward" | "step" as method):
                    called[method].append((driver, call))
        drivers = {driver for driver, _ in called["step"]} & set(parameter_names(function))
        yield from (parsed.span_of(call) for driver, call in called["backward"] if call.args and driver in drivers)


def _follow(
    run: Interpreter, parsed: ParsedFile, spans: Sequence[Span], lossless: Sequence[Span]
) -> list[tuple[Span, ParsedFile]]:
    """Follow the functions of other files that lead into these loops; which files those are."""
    homes: list[tuple[Span, ParsedFile]] = []
    for node in loop_roots(parsed).functions:
        whole = parsed.span_of(node)
        if not any(whole.contains(span) for span in spans):
            continue
        owner = next((one for one in parsed.find(ast.ClassDef) if node in one.body), None)
        for home, called in _homes(run, parsed, owner or node):
            run_roots(run, home, roots_of(home, called))
            homes.append((whole, home))
        if owner is not None and any(whole.contains(span) for span in lossless):
            _follow_heirs(run, parsed, owner, node)
    return homes


def _follow_heirs(run: Interpreter, parsed: ParsedFile, owner: ast.ClassDef, method: FunctionNode) -> None:
    """Follow a loop, whose own class leaves the loss to others, as the classes of other files that extend it run it."""
    base = Class(owner, run.names.module(parsed))
    function = Function(method, run.names.scope_of(base))
    heirs = islice(_heirs(run, parsed, owner), MAX_HEIRS)
    for heir in heirs:
        run.run_function(replace(function, bound=Instance(heir)))


def _heirs(run: Interpreter, parsed: ParsedFile, owner: ast.ClassDef) -> Iterator[Class]:
    """The classes of other files that extend this one, of the nearest files first."""
    for home in _speaking(run, parsed, owner.name):
        scope = run.names.module(home)
        for node in home.tree.body:
            if isinstance(node, ast.ClassDef) and any(last_name(base) == owner.name for base in node.bases):
                heir = Class(node, scope)
                if _is_of(run, heir, owner):
                    yield heir


def _homes(
    run: Interpreter, parsed: ParsedFile, node: ast.ClassDef | FunctionNode
) -> Iterator[tuple[ParsedFile, set[str]]]:
    """The files that call the function, or build the class or one that extends it, and by which names."""
    left = MAX_HOMES
    for home in _speaking(run, parsed, node.name):
        if left == 0:
            return
        scope = run.names.module(home)
        names = {node.name, *(heirs_in(home, node.name) if isinstance(node, ast.ClassDef) else ())}
        calls = [call for call in home.speaking(ast.Call, *names) if last_name(call.func) in names]
        called = {
            last_name(call.func)
            for call in calls
            for one in alternatives(run.module_expression(call.func, scope))
            if _is_of(run, one, node)
        }
        if called or _is_named(run, home, node):
            left -= 1
            yield home, called


def _is_named(run: Interpreter, home: ParsedFile, node: ast.ClassDef | FunctionNode) -> bool:
    """Does a file hand it on without calling it, in a registry or as an argument? It sets up what it is called with."""
    said = (one for one in home.speaking(ast.Name, node.name) if one.id == node.name)
    first = next((one for one in said if isinstance(one.ctx, ast.Load)), None)
    return first is not None and _is_of(run, run.module_expression(first, run.names.module(home)), node)


def _speaking(run: Interpreter, parsed: ParsedFile, name: str) -> Iterator[ParsedFile]:
    """The other files that speak of it, the nearest first."""
    paths = run.project.scripts_naming(name)
    if len(paths) > _MAX_CANDIDATES:  # a `train`: of those, who imports it names its module too
        module = parsed.path.parent.name if parsed.path.stem == "__init__" else parsed.path.stem
        importing = set(run.project.scripts_naming(module))
        paths = [path for path in paths if path in importing]
    if len(paths) > _MAX_CANDIDATES:
        return
    for path in sorted(paths, key=lambda path: -_shared(path, parsed.path)):
        home = run.project.file(path)
        if home is not None and home is not parsed:
            yield home


def _is_of(run: Interpreter, value: object, node: ast.ClassDef | FunctionNode) -> bool:
    if isinstance(value, Class):
        return any(isinstance(one, Class) and one.node is node for one in run.names.ancestry(value))
    return isinstance(value, Function) and value.node is node


def _shared(one: Path, other: Path) -> int:
    """How many folders lead to both."""
    return len(Path(os.path.commonpath([os.path.abspath(one), os.path.abspath(other)])).parts)
