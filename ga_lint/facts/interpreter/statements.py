"""What does each kind of statement do to a path?"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from ga_lint.facts.interpreter import assignments, conditions, loops
from ga_lint.facts.interpreter.events import Context, EventKind, Guard
from ga_lint.facts.interpreter.flags import held_on_all, settle_flags
from ga_lint.facts.interpreter.paths import Frame, State, joined
from ga_lint.facts.values import (
    Boundary,
    Built,
    Choice,
    Class,
    Const,
    Elements,
    Function,
    Loss,
    Output,
    Remainder,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    alternatives,
    choice,
)
from ga_lint.syntax.bindings import imported_names
from ga_lint.syntax.parsed import FunctionNode
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter


_CATCHES_NONE = re.compile(r"TypeError|AttributeError|\bException")


def execute_statement(run: Interpreter, frame: Frame, state: State, node: ast.stmt) -> list[State]:
    """The paths that go on after the statement."""
    match node:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            assignments.follow(run, frame, state, node)
        case ast.Expr():
            run.evaluate(frame, state, node.value)
        case ast.Return():
            _return(run, frame, state, node)
            return []
        case ast.If():
            return _branch(run, frame, state, node.test, node.body, node.orelse)
        case ast.For() | ast.AsyncFor():
            return loops.follow_for(run, frame, state, node)
        case ast.While():
            return loops.follow_while(run, frame, state, node)
        case ast.With() | ast.AsyncWith():
            return _with(run, frame, state, node)
        case ast.Try():
            return _try(run, frame, state, node)
        case ast.Match():
            return _match(run, frame, state, node)
        case ast.Break():
            frame.broken.append(state)
            return []
        case ast.Continue():
            frame.continued.append(state)
            return []
        case ast.Raise():
            return []
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
            _define(run, frame, state, node)
        case ast.Delete():
            for target in node.targets:
                state.env.pop(text_of(target), None)
        case ast.Assert():
            run.evaluate(frame, state, node.test)
    frame.scope.names = state.env  # what a function defined here sees
    return [state]


def _return(run: Interpreter, frame: Frame, state: State, node: ast.Return) -> None:
    value = run.evaluate(frame, state, node.value) if node.value else Const(None)
    if isinstance(node.value, ast.Name | ast.Attribute):
        value = _with_what_was_put_in(state, text_of(node.value), value)
    frame.returned.append(value)
    frame.returned_under.append(state.guards)
    if frame.depth == 0:  # what a called function returns is its caller's business
        run.record(EventKind.RETURN, frame, state, node, value, node.value or node)


def _with_what_was_put_in(state: State, name: str, value: Value) -> Value:
    """`outputs.loss = loss; return outputs`: the object leaves with its loss, which the caller reads from it."""
    if not isinstance(value, Output | Unknown | Symbol | Built):
        return value
    put = {text.removeprefix(f"{name}."): one for text, one in state.env.items() if text.startswith(f"{name}.")}
    if not any(isinstance(one, Loss | Elements) for part in put.values() for one in alternatives(part)):
        return value
    if isinstance(value, Output):
        put.setdefault("logits", Tensor(TensorKind.LOGITS, "logits"))
    return Table(tuple((key, one) for key, one in put.items() if "." not in key and "[" not in key))


def _match(run: Interpreter, frame: Frame, state: State, node: ast.Match) -> list[State]:
    run.evaluate(frame, state, node.subject)
    paths = [] if any(map(_takes_all, node.cases)) else [state.fork()]
    for case in node.cases:
        paths.extend(run.execute(frame, case.body, [state.fork()]))
    return joined(paths)


def _takes_all(case: ast.match_case) -> bool:
    """`case _:`, `case other:`"""
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None


def _define(
    run: Interpreter, frame: Frame, state: State, node: FunctionNode | ast.ClassDef | ast.Import | ast.ImportFrom
) -> None:
    """The names that a definition or an import binds."""
    match node:
        case ast.ClassDef():
            state.env[node.name] = Class(node, frame.scope)
        case ast.Import() | ast.ImportFrom():
            for name, imported in imported_names(node):
                if name != "*":
                    state.env[name] = run.names.imported(imported, frame.scope)
        case _:
            state.env[node.name] = Function(node, frame.scope)


def _branch(
    run: Interpreter, frame: Frame, state: State, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]
) -> list[State]:
    value = run.evaluate(frame, state, test)
    if isinstance(value, Remainder):
        value = Boundary(value.steps, negated=True, written=value.written)
    known = conditions.truth(run, frame, state, test, value)
    if known is None and not orelse and conditions.is_for_ranks(test, body):
        known = True
    if known is not None:
        return run.execute(frame, body if known else orelse, [state])
    place = run.place(frame, test)
    text = text_of(test)
    for guard in state.guards:
        if guard.text == text and guard.test == value:  # asked before on this path
            return run.execute(frame, body if guard.outcome else orelse, [state])
    outer = state.guards
    taken, skipped = state.fork(), state
    taken.guards = (*outer, Guard(value, True, text, place))
    skipped.guards = (*outer, Guard(value, False, text, place))
    _narrow(taken, test, True)
    _narrow(skipped, test, False)
    after_body = run.execute(frame, body, [taken])
    after_else = run.execute(frame, orelse, [skipped])
    if after_body and after_else:
        settle_flags(frame, value, after_body, after_else, (body, orelse))
        kept = held_on_all(after_body + after_else, len(outer))
        for path in after_body + after_else:
            path.guards = (*outer, *kept)
    return joined(after_body + after_else)


def _narrow(state: State, test: ast.expr, outcome: bool) -> None:
    """After `x is None` a value that may be None is it, or is not any more."""
    match test:
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as operator], comparators=[ast.Constant(value=None)]):
            held = state.env.get(text_of(left))
            if isinstance(held, Choice) and Const(None) in held.values:
                is_none = isinstance(operator, ast.Is) is outcome
                state.env[text_of(left)] = choice([one for one in held.values if (one == Const(None)) is is_none])


def _with(run: Interpreter, frame: Frame, state: State, node: ast.With | ast.AsyncWith) -> list[State]:
    outer = frame.contexts
    for item in node.items:
        value = run.evaluate(frame, state, item.context_expr)
        context = _context(text_of(item.context_expr))
        if context is not None:
            frame.contexts = (*frame.contexts, context)
        if item.optional_vars is not None:
            assignments.assign(run, frame, state, item.optional_vars, value)
    paths = run.execute(frame, node.body, [state])
    frame.contexts = outer
    return paths


def _context(text: str) -> Context | None:
    called = text.partition("(")[0].rpartition(".")[2]
    if called == "accumulate":
        return Context.ACCUMULATE
    return Context.NO_GRAD if called in ("no_grad", "inference_mode") else None


def _try(run: Interpreter, frame: Frame, state: State, node: ast.Try) -> list[State]:
    before = state.fork()
    unguarded = len(run.unguarded)
    paths = run.execute(frame, node.body, [state])
    if any(handler.type is None or _CATCHES_NONE.search(text_of(handler.type)) for handler in node.handlers):
        del run.unguarded[unguarded:]
    paths = run.execute(frame, node.orelse, paths)
    for handler in node.handlers:
        if handler.type is not None and "TypeError" in text_of(handler.type):
            continue  # timid: the fallback for releases whose signature differs
        paths.extend(run.execute(frame, handler.body, [before.fork()]))
    return run.execute(frame, node.finalbody, joined(paths))
