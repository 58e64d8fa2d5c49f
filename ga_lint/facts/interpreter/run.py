"""What values can reach a backward call or a return? An abstract run of the user's code, path by path.

Nothing is executed. Statements are followed in order with abstract values (see `values`); a test that is not known
splits the path, paths that differ in nothing that matters are joined again. Calls of the project's own functions are
followed to a small depth. What happens to gradients on the way is recorded as events.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Self

from ga_lint.facts.interpreter import expressions, statements
from ga_lint.facts.interpreter.assigned import Assigned
from ga_lint.facts.interpreter.calling import bears_loss, bind, environment, is_one_expression
from ga_lint.facts.interpreter.events import Event, EventKind, Loop, is_told_not_to_divide
from ga_lint.facts.interpreter.flags import answered
from ga_lint.facts.interpreter.handed import handed_back
from ga_lint.facts.interpreter.paths import Frame, State, is_too_deep, joined
from ga_lint.facts.interpreter.repeated import Results
from ga_lint.facts.interpreter.scopes import Names, Scope
from ga_lint.facts.interpreter.unpacking import handed_to
from ga_lint.facts.model import Place
from ga_lint.facts.values import (
    UNKNOWN,
    Const,
    Function,
    Instance,
    Many,
    Value,
    choice,
)
from ga_lint.knowledge import Knowledge
from ga_lint.project import Project
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import text_of

# A bound on one root: of 60 public training scripts the longest needs 3,700, one that brings its own T5 over 10,000.
MAX_STATEMENTS = 16_000


class Interpreter:
    """Runs functions abstractly and collects events."""

    def __init__(self, project: Project, knowledge: Knowledge, truths: Mapping[str, bool] | None = None) -> None:
        self.project = project
        self.knowledge = knowledge
        self.truths = dict(truths or {})  # tests that are assumed to come out so, by their text
        self.names = Names(project, self.module_expression)
        self.events: list[Event] = []
        self.heap: dict[tuple[int, str], Value] = {}  # attributes of instances, by class node and name
        self.entered: set[int] = set()  # ids of the functions that were followed
        self.loss_reads: list[tuple[Place, Place]] = []  # where a model's own loss is read from its output
        self.unguarded: list[Place] = []  # where something is computed with a count that is None
        self.assigned: dict[tuple[int, str], list[Assigned]] = {}  # what methods set, by class node and attribute
        self.arguments: dict[int, tuple[tuple[Value, ...], tuple[tuple[str, Value], ...]]] = {}
        self.running: list[ast.AST] = []
        self.only_with_labels = False  # calls that are not handed targets or a loss are not followed
        self.results = Results()
        self.only_in: ParsedFile | None = None  # functions of other files are not followed
        self.made: list[ast.ClassDef] = []  # classes that no file holds, kept so that their ids stay their own
        self._budget = MAX_STATEMENTS
        self._loops = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The collector is paused during a run, so what refers to itself is taken apart by hand."""
        self.names.forget()
        for table in (self.heap, self.events, self.assigned, self.arguments):
            table.clear()
        self.results.clear()
        self.only_in = None

    # -- running

    def run_module(self, scope: Scope) -> None:
        """Follow the module's own statements."""
        self._budget = MAX_STATEMENTS
        frame = Frame(scope, scope.parsed.tree, "")
        self.execute(frame, scope.parsed.tree.body, [State({})])

    def run_function(
        self, function: Function, arguments: Mapping[str, Value] | None = None, loops: tuple[Loop, ...] = ()
    ) -> Value:
        """Follow a function that nobody is seen calling, with the given arguments and unknown others.

        `loops`: those that a library runs around it.
        """
        self._budget = MAX_STATEMENTS
        return self.activate(function, {**bind(function, (), ()), **(arguments or {})}, None, None, loops)

    def activate(
        self,
        function: Function,
        arguments: dict[str, Value],
        caller: Frame | None,
        state: State | None,
        loops: tuple[Loop, ...] = (),
    ) -> Value:
        """Run a function's body; the value is one of those it returns."""
        node, scope = function.node, function.scope
        thin = is_one_expression(node)
        if node in self.running:
            self.results.left_out(self.running.index(node))
            return UNKNOWN
        if self._budget <= 0:
            self.results.told += 1
            return UNKNOWN
        if caller is not None and is_too_deep(caller, thin):
            return UNKNOWN
        inner = Scope(scope.parsed, scope, {}, scope.cls)
        frame = Frame(inner, node, scope.parsed.name_of(node), function.bound, loops=loops)
        if caller is not None:
            frame.depth, frame.thin, frame.via = caller.depth + 1, caller.thin + thin, caller.via
            frame.loops, frame.contexts = caller.loops, caller.contexts
            frame.guards = caller.guards + (() if state is None else state.guards)
        frame.inherited = len(frame.loops)
        local = State(environment(self, function, arguments, called=caller is not None))
        inner.names = local.env
        self.entered.add(id(node))
        self.running.append(node)
        try:
            if isinstance(node, ast.Lambda):
                return self.evaluate(frame, local, node.body)
            self.execute(frame, node.body, [local])
        finally:
            self.running.pop()
        if frame.yielded:
            return Many(choice(frame.yielded))
        return answered(frame) or choice(frame.returned) if frame.returned else Const(None)

    def execute(self, frame: Frame, body: Sequence[ast.stmt], states: list[State]) -> list[State]:
        """Follow statements on every path; the paths that fall off the end."""
        for statement in body:
            self._budget -= 1
            if self._budget <= 0 or not states:
                return states
            following: list[State] = []
            for state in states:
                state.given = {}
                following.extend(statements.execute_statement(self, frame, state, statement))
            states = joined(following)
        return states

    def evaluate(self, frame: Frame, state: State, node: ast.expr | None) -> Value:
        """The value of an expression on one path, had once for each statement: who asks again follows no call twice."""
        if node is None:
            return UNKNOWN
        value = state.given.get(node)
        if value is None:
            value = state.given[node] = expressions.evaluate(self, frame, state, node)
        return value

    # -- calls

    def call(
        self,
        frame: Frame,
        callee: Value,
        positional: tuple[Value, ...],
        named: tuple[tuple[str, Value], ...],
        state: State | None = None,
        node: ast.Call | None = None,
    ) -> Value:
        """Call a project function, or an object through its `forward` or `__call__`."""
        if self.only_with_labels and not any(map(bears_loss, (*positional, *(value for _, value in named)))):
            return UNKNOWN
        if isinstance(callee, Instance):
            found = self.names.method(callee.cls, "forward") or self.names.method(callee.cls, "__call__")
            if found is None:
                return UNKNOWN
            owner, definition = found
            callee = Function(definition, self.names.scope_of(owner), callee)
        if not isinstance(callee, Function) or self.is_beyond(callee.scope):
            return UNKNOWN
        arguments = handed_to(callee, positional, named, node)
        outer_via = frame.via
        if node is not None:
            frame.via = (*frame.via, self.place(frame, node))
        try:
            value = self.results.of(self, callee, arguments, frame, state)
        finally:
            frame.via = outer_via
        return value if node is None else handed_back(self, frame, callee, node, value)

    def is_beyond(self, scope: Scope) -> bool:
        """Is this the scope of a function that is not followed, whatever it may give?"""
        return self.only_in is not None and scope.parsed is not self.only_in

    # -- recording

    def new_loop_id(self) -> int:
        self._loops += 1
        return self._loops

    def place(self, frame: Frame, node: ast.AST) -> Place:
        return Place(frame.scope.parsed.path, frame.scope.parsed.span_of(node))

    def record(
        self,
        kind: EventKind,
        frame: Frame,
        state: State,
        node: ast.AST,
        value: Value,
        value_node: ast.AST,
        driver: Value = UNKNOWN,
        driver_text: str = "",
    ) -> None:
        """Keep an event once for each distinct value and path."""
        self.results.told += 1
        function = self.place(frame, frame.node) if isinstance(frame.node, FunctionNode) else None
        event = Event(
            kind,
            self.place(frame, node),
            value,
            self.place(frame, value_node),
            text_of(value_node) if isinstance(value_node, ast.expr) else "",
            driver,
            driver_text,
            frame.loops,
            frame.guards + state.guards,
            frame.contexts,
            frame.name,
            function,
            frame.via,
            kind is EventKind.BACKWARD and is_told_not_to_divide(node),
        )
        row = event.place.span.start.row
        if not any(known.place.span.start.row == row and known == event for known in self.events):
            self.events.append(event)

    def record_unguarded(self, frame: Frame, node: ast.AST) -> None:
        """Keep where a missing count is computed with: here, or the call that leads here from another function."""
        self.results.told += 1
        if frame.running:
            self.unguarded.append(frame.via[0] if frame.via else self.place(frame, node))

    def module_expression(self, node: ast.expr, scope: Scope, local: dict[str, Value] | None = None) -> Value:
        frame = Frame(scope, node, "", running=False)
        return self.evaluate(frame, State(local or {}), node)
