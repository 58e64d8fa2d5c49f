"""From where must the code be followed so that every backward, or every Trainer, is reached with the most context?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.facts.values import Class, Function, Instance
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import last_name
from ga_lint.syntax.walk import children

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter

MAX_HEIRS = 4  # classes that a method is followed for besides its own

# Gradients are cleared where a loop is, also when an imported helper runs backward.
_SINKS = frozenset({"backward", "manual_backward", "zero_grad"})
# `batch_backward(loss)`, from another file.
_HELPERS = re.compile(rb"(?<![\w.])(?<!def )((?!save_for_)[a-z_]+_backward|backward_[a-z_]+)\(")


class Roots(Struct, frozen=True):
    """`module`: the module's own statements lead there. `functions`: callers before those they call."""

    module: bool
    functions: tuple[FunctionNode, ...]


def loop_roots(parsed: ParsedFile) -> Roots:
    """Functions that lead to a backward, outermost callers first; an imported helper is known by its name."""
    return roots_of(parsed, _SINKS | {name.decode() for name in _HELPERS.findall(parsed.source.data)})


def _called_by(node: FunctionNode) -> set[str]:
    """What a function calls; kept on its node, which is asked about several sinks."""
    called: set[str] | None = node.__dict__.get("_ga_lint_called")
    if called is None:
        called = node._ga_lint_called = set(_called_names(node.body))  # type: ignore[union-attr]
    return called


def roots_of(parsed: ParsedFile, sinks: AbstractSet[str]) -> Roots:
    """Functions that lead to a call of one of these names, outermost callers first."""
    if not sinks:
        return Roots(False, ())
    leading, leading_names, names = set[FunctionNode](), set[str](), set(sinks)
    while names:
        more = {node for node in parsed.functions(*names) if _called_by(node) & names} - leading
        names = {node.name for node in more} - leading_names
        leading |= more
        leading_names |= names
    body = [one for one in parsed.tree.body if not isinstance(one, FunctionNode | ast.ClassDef)]
    module_calls = set(_called_names(body))
    inner_calls = set().union(*(_called_by(node) - {node.name} for node in leading)) if leading else set()
    outermost = [node for node in leading if node.name not in inner_calls]
    rest = [node for node in leading if node not in outermost]
    ordered = sorted(outermost, key=_row) + sorted(rest, key=_row)
    return Roots(bool(module_calls & (sinks | leading_names)), tuple(ordered))


def heirs_in(parsed: ParsedFile, name: str) -> Iterator[str]:
    """The names of the file's classes that have this one among their bases."""
    for node in parsed.tree.body:
        if isinstance(node, ast.ClassDef) and any(last_name(base) == name for base in node.bases):
            yield node.name


def _row(node: FunctionNode) -> int:
    return node.lineno


def _called_names(body: list[ast.stmt]) -> Iterator[str]:
    """The last names of what is called here, functions defined inside left out."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, FunctionNode | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr
        todo += children(node)


def run_roots(run: Interpreter, parsed: ParsedFile, roots: Roots) -> None:
    """Follow the module where it leads there, then each function that was not reached on the way."""
    if roots.module:
        run.run_module(run.names.module(parsed))
    for node in roots.functions:
        if id(node) not in run.entered:
            for function in functions_of(run, parsed, node):
                run.run_function(function)


def functions_of(run: Interpreter, parsed: ParsedFile, node: FunctionNode) -> Iterator[Function]:
    """The function, or the method of its class and of each class of the file that inherits it."""
    scope = run.names.module(parsed)
    classes = parsed.speaking(ast.ClassDef, node.name)
    owner = next((one for one in classes if parsed.mentions(one, node.name) and node in one.body), None)
    if owner is None:
        yield Function(node, scope)
        return
    classes = parsed.speaking(ast.ClassDef, owner.name)
    heirs = [one for one in classes if any(isinstance(b, ast.Name) and b.id == owner.name for b in one.bases)]
    for one in [owner, *heirs[:MAX_HEIRS]]:
        yield Function(node, run.names.scope_of(Class(owner, scope)), Instance(Class(one, scope)))
