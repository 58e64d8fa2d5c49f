"""What do the functions bind that a definition stands in?"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter.calling import environment
from ga_lint.facts.interpreter.paths import Frame, State
from ga_lint.facts.interpreter.scopes import Scope
from ga_lint.facts.values import Function
from ga_lint.syntax.parsed import FunctionNode

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter

# Statements that bind names a closure may read; loops and calls are left out.
_BINDING = (ast.Import, ast.ImportFrom, ast.Assign, ast.ClassDef, ast.FunctionDef, ast.If, ast.Try)


def closure(run: Interpreter, module: Scope, outer: Sequence[FunctionNode]) -> Scope:
    """The scope inside nested functions, with what their bodies bind; parameters are unknown."""
    scope = module
    for node in outer:
        inner = Scope(scope.parsed, scope, {}, scope.cls)
        frame = Frame(inner, node, scope.parsed.name_of(node))
        local = State(environment(run, Function(node, scope), {}, called=False))
        inner.names = local.env
        events = list(run.events)
        run.running.append(node)
        paths = run.execute(frame, [one for one in node.body if isinstance(one, _BINDING)], [local])
        run.running.pop()
        inner.names = paths[0].env if paths else local.env
        run.events = events
        scope = inner
    return scope
