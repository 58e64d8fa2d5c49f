"""Which fixers are there, and how does a request become new text?"""

from __future__ import annotations

import contextlib
import functools
import importlib
import pkgutil
from collections.abc import Callable

import libcst as cst

from ga_lint.diagnostics import FixRequest
from ga_lint.errors import FixNotApplicable, InternalError
from ga_lint.fixers.arithmetic import Division, division_of
from ga_lint.fixers.edits import Edits, Rewrite
from ga_lint.fixers.outline import CutShort, outline_of
from ga_lint.fixers.tree import Tree
from ga_lint.source import SourceFile, Span

Fixer = Callable[["Target", Edits], None]

LONG = 5_000  # characters, beyond which a part of the file is read sooner than the whole

_FIXERS: dict[str, Fixer] = {}


class Target:
    """A request, bound to the tree that it is about."""

    def __init__(self, tree: Tree, request: FixRequest) -> None:
        self.tree = tree
        self._request = request
        self._options = request.option_by_name

    def span(self, role: str) -> Span:
        """The only place in this role; a rule that names none has not asked for this fixer properly."""
        spans = self.spans(role)
        if len(spans) != 1:
            raise InternalError(f"the fixer {self._request.fixer!r} needs one place {role!r}, got {len(spans)}")
        return spans[0]

    def spans(self, role: str) -> list[Span]:
        return [span for name, span in self._request.targets if name == role]

    def loop(self) -> cst.For | cst.While:
        """The loop over micro-batches."""
        found = self.tree.find(self.span("loop"), cst.For, cst.While)
        assert isinstance(found, cst.For | cst.While)
        return found

    def division(self) -> Division:
        """The division that a request names."""
        if len(self.spans("division")) > 1:
            raise FixNotApplicable("the loss is divided in several places of the window")
        return self._division_at(self.span("division"))

    def divisions(self) -> list[Division]:
        """The divisions that it names, each for another path."""
        return [self._division_at(span) for span in self.spans("division")]

    def _division_at(self, span: Span) -> Division:
        return division_of(self.tree.find(span, cst.BinaryOperation, cst.AugAssign, cst.Call))

    def backwards(self, *, needed: bool = False) -> list[cst.Call]:
        """The calls of backward that add to the gradients of one window; `needed`: one at least."""
        spans = self.spans("backward")
        if needed and not spans:
            self.span("backward")  # says what is missing
        return [self.tree.find(span, cst.Call) for span in spans]

    def option(self, name: str) -> str:
        value = self._options.get(name)
        if value is None:
            raise InternalError(f"the fixer {self._request.fixer!r} needs the option {name!r}")
        return value

    def option_or(self, name: str, default: str) -> str:
        return self._options.get(name, default)


def fixer(name: str) -> Callable[[Fixer], Fixer]:
    """Register the decorated function under the name that rules use."""

    def register(plan: Fixer) -> Fixer:
        if name in _FIXERS and _FIXERS[name].__module__ != plan.__module__:
            raise ValueError(f"two modules define the fixer {name!r}")
        _FIXERS[name] = plan
        return plan

    return register


@functools.cache
def fixer_names() -> frozenset[str]:
    """Every fixer's name; importing them all registers them."""
    package = importlib.import_module("ga_lint.fixers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return frozenset(_FIXERS)


@functools.lru_cache(maxsize=1)  # a plan changes nothing in it, and a file's findings come one after the other
def _whole(source: SourceFile) -> Tree:
    return Tree(source)


def rewrite(source: SourceFile, request: FixRequest) -> Rewrite:
    """The file with one finding repaired, or FixNotApplicable with the reason why it is not."""
    for part in request.parts:
        if part.fixer not in fixer_names():
            raise InternalError(f"no fixer is called {part.fixer!r}")
    if len(source.text) >= LONG:
        rows = {place.row for part in request.parts for _, span in part.targets for place in (span.start, span.end)}
        with contextlib.suppress(CutShort):
            return _rewrite(Tree(source, outline_of(source.text, rows)), request)
    return _rewrite(_whole(source), request)


def _rewrite(tree: Tree, request: FixRequest) -> Rewrite:
    edits = Edits(tree, min((span.start.row for part in request.parts for _, span in part.targets), default=1))
    try:
        for part in request.parts:
            _FIXERS[part.fixer](Target(tree, part), edits)
        result = edits.apply()
    except (cst.CSTValidationError, cst.ParserSyntaxError):
        raise FixNotApplicable("what would be written is not valid in this place") from None
    if result.text == tree.source.text:
        raise FixNotApplicable("the rewrite changes nothing")
    return result
