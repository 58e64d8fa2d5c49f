"""What values can reach a backward call or a return? An abstract run of the user's code, path by path.

Nothing is executed. Statements are followed in order with abstract values (see `values`); a test that is not known
splits the path, paths that differ in nothing that matters are joined again. Calls of the project's own functions are
followed to a small depth. What happens to gradients on the way is recorded as events.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from ga_lint.facts import expressions, statements
from ga_lint.facts.events import Event, EventKind
from ga_lint.facts.model import Place
from ga_lint.facts.paths import Frame, State, joined
from ga_lint.facts.scopes import Names, Scope
from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Class,
    Const,
    Count,
    Elements,
    External,
    Function,
    Instance,
    Items,
    Loss,
    Many,
    Model,
    Output,
    Super,
    Symbol,
    Table,
    Tensor,
    TensorKind,
    Unknown,
    Value,
    choice,
)
from ga_lint.syntax.numbers import defaults_of
from ga_lint.knowledge import Knowledge
from ga_lint.project import Project
from ga_lint.syntax.parsed import FunctionNode

MAX_DEPTH = 6  # calls of project functions inside each other
MAX_STATEMENTS = 30_000  # a bound on one root; real training scripts need a few thousand


class Interpreter:
    """Runs functions abstractly and collects events."""

    def __init__(self, project: Project, knowledge: Knowledge, truths: Mapping[str, bool] | None = None) -> None:
        self.project = project
        self.knowledge = knowledge
        self.truths = dict(truths or {})  # tests that are assumed to come out so, by their text
        self.names = Names(project, self._module_expression, knowledge.libraries)
        self.events: list[Event] = []
        self.heap: dict[tuple[int, str], Value] = {}  # attributes of instances, by class node and name
        self.entered: set[int] = set()  # ids of the functions that were followed
        self.loss_reads: list[tuple[Place, Place]] = []  # where a model's own loss is read from its output
        self._arguments: dict[int, tuple[tuple[Value, ...], tuple[tuple[str, Value], ...]]] = {}
        self._running: list[ast.AST] = []
        self._budget = MAX_STATEMENTS
        self._loops = 0

    # -- running

    def run_module(self, scope: Scope) -> None:
        """Follow the module's own statements."""
        self._budget = MAX_STATEMENTS
        frame = Frame(scope, scope.parsed.tree, "")
        self.execute(frame, scope.parsed.tree.body, [State({})])

    def run_function(self, function: Function, arguments: Mapping[str, Value] | None = None) -> Value:
        """Follow a function that nobody is seen calling, with the given arguments and unknown others."""
        self._budget = MAX_STATEMENTS
        return self.activate(function, {**bind(function, (), ()), **(arguments or {})}, None, None)

    def closure(self, module: Scope, outer: Sequence[FunctionNode]) -> Scope:
        """The scope inside nested functions, with what their bodies bind; parameters are unknown."""
        scope = module
        for node in outer:
            inner = Scope(scope.parsed, scope, {}, scope.cls)
            frame = Frame(inner, node, scope.parsed.scopes.get(id(node), ""))
            local = State(self.defaults(Function(node, scope), {}))
            inner.names = local.env
            events = list(self.events)
            simple = [s for s in node.body if isinstance(s, ast.Import | ast.ImportFrom | ast.Assign | ast.ClassDef | ast.FunctionDef | ast.If | ast.Try)]
            self._running.append(node)
            paths = self.execute(frame, simple, [local])
            self._running.pop()
            inner.names = paths[0].env if paths else local.env
            self.events = events
            scope = inner
        return scope

    def activate(
        self, function: Function, arguments: dict[str, Value], caller: Frame | None, state: State | None
    ) -> Value:
        """Run a function's body; the value is one of those it returns."""
        node, scope = function.node, function.scope
        if node in self._running or (caller and caller.depth >= MAX_DEPTH) or self._budget <= 0:
            return UNKNOWN
        inner = Scope(scope.parsed, scope, {}, scope.cls)
        name = scope.parsed.scopes.get(id(node), "")
        frame = Frame(inner, node, name, function.bound)
        if caller is not None and state is not None:
            frame.depth = caller.depth + 1
            frame.loops, frame.contexts = caller.loops, caller.contexts
            frame.guards = caller.guards + state.guards
            frame.via = caller.via
        local = State(self.defaults(function, arguments, called=caller is not None))
        inner.names = local.env
        self.entered.add(id(node))
        self._running.append(node)
        try:
            if isinstance(node, ast.Lambda):
                return self.evaluate(frame, local, node.body)
            self.execute(frame, node.body, [local])
        finally:
            self._running.pop()
        if frame.yielded:
            return Many(choice(frame.yielded))
        return choice(frame.returned) if frame.returned else Const(None)

    def defaults(
        self, function: Function, arguments: Mapping[str, Value], *, called: bool = False
    ) -> dict[str, Value]:
        """The environment that a call starts with: arguments, else defaults, else unknown.

        A default only says what a parameter is where the call was seen; otherwise a number is kept as a hint.
        """
        parameters = function.node.args
        plain = [*parameters.posonlyargs, *parameters.args]
        values: dict[str, Value] = {}
        first_default = len(plain) - len(parameters.defaults)
        for index, parameter in enumerate(plain):
            if parameter.arg in arguments:
                values[parameter.arg] = arguments[parameter.arg]
            elif index >= first_default:
                default = parameters.defaults[index - first_default]
                values[parameter.arg] = self._default(parameter.arg, default, function.scope, called)
            else:
                values[parameter.arg] = UNKNOWN
        for parameter, default_node in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True):
            known = (
                self._default(parameter.arg, default_node, function.scope, called) if default_node else UNKNOWN
            )
            values[parameter.arg] = arguments.get(parameter.arg, known)
        for rest in (parameters.vararg, parameters.kwarg):
            if rest is not None:
                values[rest.arg] = arguments.get(rest.arg, UNKNOWN)
        return values

    def _default(self, name: str, node: ast.expr, scope: Scope, called: bool) -> Value:
        value = self._module_expression(node, scope)
        if called or not isinstance(value, Const):
            return value
        number = value.value
        return Symbol(name, float(number)) if isinstance(number, int | float) and number is not True else UNKNOWN

    def execute(self, frame: Frame, body: Sequence[ast.stmt], states: list[State]) -> list[State]:
        """Follow statements on every path; the paths that fall off the end."""
        for statement in body:
            self._budget -= 1
            if self._budget <= 0 or not states:
                return states
            following: list[State] = []
            for state in states:
                following.extend(statements.execute_statement(self, frame, state, statement))
            states = joined(following)
        return states

    def evaluate(self, frame: Frame, state: State, node: ast.expr | None) -> Value:
        """The value of an expression on one path."""
        return UNKNOWN if node is None else expressions.evaluate(self, frame, state, node)

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
        if isinstance(callee, Instance):
            found = self.names.method(callee.cls, "forward") or self.names.method(callee.cls, "__call__")
            if found is None:
                return UNKNOWN
            owner, definition = found
            callee = Function(definition, self.names.scope_of(owner), callee)
        if not isinstance(callee, Function):
            return UNKNOWN
        arguments = bind(callee, positional, named)
        outer_via = frame.via
        if node is not None:
            frame.via = (*frame.via, self.place(frame, node))
        try:
            return self.activate(callee, arguments, frame, state)
        finally:
            frame.via = outer_via

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
        function = self.place(frame, frame.node) if isinstance(frame.node, FunctionNode) else None
        text = ast.unparse(value_node) if isinstance(value_node, ast.expr) else ""
        event = Event(
            kind,
            self.place(frame, node),
            value,
            self.place(frame, value_node),
            text,
            driver,
            driver_text,
            frame.loops,
            frame.guards + state.guards,
            frame.contexts,
            frame.name,
            function,
            frame.via,
        )
        if event not in self.events:
            self.events.append(event)

    # -- classes

    def instance(
        self, frame: Frame, cls: Class, positional: tuple[Value, ...] = (), named: tuple[tuple[str, Value], ...] = ()
    ) -> Instance:
        """An object of a project class; `__init__` is run when an attribute is asked for."""
        self._arguments.setdefault(id(cls.node), (positional, named))
        return Instance(cls)

    def _learn_attributes(self, frame: Frame, cls: Class) -> None:
        """Run `__init__` with the arguments of the first construction that was seen."""
        if (id(cls.node), "") in self.heap:
            return
        self.heap[id(cls.node), ""] = UNKNOWN
        found = self.names.method(cls, "__init__")
        if found is not None:
            owner, node = found
            function = Function(node, self.names.scope_of(owner), Instance(cls))
            positional, named = self._arguments.get(id(cls.node), ((), ()))
            seen = id(cls.node) in self._arguments
            self._initialise(frame, cls, function, bind(function, positional, named), seen)

    def _initialise(self, frame: Frame, cls: Class, function: Function, arguments: dict[str, Value], seen: bool) -> None:
        node = function.node
        if isinstance(node, ast.Lambda) or node in self._running or frame.depth >= MAX_DEPTH:
            return
        inner = Scope(function.scope.parsed, function.scope, {}, function.scope.cls)
        inside = Frame(inner, node, cls.node.name, function.bound, frame.depth + 1)
        local = State(self.defaults(function, arguments, called=seen))
        self_name = node.args.args[0].arg if node.args.args else "self"
        events = list(self.events)
        self._running.append(node)
        try:
            paths = self.execute(inside, node.body, [local])
        finally:
            self._running.pop()
        self.events = events
        for path in paths:
            for text, value in path.env.items():
                owner, _, name = text.partition(".")
                if owner == self_name and name and "." not in name:
                    known = self.heap.get((id(cls.node), name))
                    self.heap[id(cls.node), name] = value if known is None else choice([known, value])

    def attribute(self, frame: Frame, cls: Class, owner: Instance, name: str, text: str) -> Value:
        """`object.name`: a method, an attribute that `__init__` or another method sets, or one of the class's."""
        found = self.names.method(cls, name)
        if found is not None:
            holder, node = found
            method = Function(node, self.names.scope_of(holder), owner)
            if any(ast.unparse(d).rpartition(".")[2] in ("property", "cached_property") for d in node.decorator_list):
                return self.call(frame, method, (), ())
            static = any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)
            return Function(node, method.scope) if static else method
        self._learn_attributes(frame, cls)
        if (id(cls.node), name) in self.heap:
            return self.heap[id(cls.node), name]
        value = self._assigned_elsewhere(cls, name)
        if value is None:
            value = self.class_attribute(cls, name)
        if isinstance(value, Unknown):
            value = Symbol(text, self.number_of(frame, name))
        self.heap[id(cls.node), name] = value
        return value

    def _assigned_elsewhere(self, cls: Class, name: str) -> Value | None:
        """`self.name = ...` in a method other than `__init__`, such as a `setup`."""
        values = []
        for ancestor in self.names.ancestry(cls):
            if not isinstance(ancestor, Class):
                continue
            for method in ancestor.node.body:
                if isinstance(method, FunctionNode) and method.name != "__init__":
                    values.extend(self._assignments(method, name, self.names.scope_of(ancestor)))
        return choice(values) if values else None

    def _assignments(self, method: FunctionNode, name: str, scope: Scope) -> list[Value]:
        return [
            self._module_expression(node.value, scope)
            for node in ast.walk(method)
            if isinstance(node, ast.Assign)
            and any(
                isinstance(t, ast.Attribute) and t.attr == name and isinstance(t.value, ast.Name) for t in node.targets
            )
        ]

    def class_attribute(self, cls: Class, name: str) -> Value:
        """`Class.name`: a method, unbound, or a value that the class's body assigns."""
        found = self.names.method(cls, name)
        if found is not None:
            holder, node = found
            return Function(node, self.names.scope_of(holder))
        for ancestor in self.names.ancestry(cls):
            if not isinstance(ancestor, Class):
                continue
            for statement in ancestor.node.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                        return self._module_expression(value, ancestor.scope)
                    case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                        return self._module_expression(value, ancestor.scope)
        return UNKNOWN

    def super_value(self, frame: Frame) -> Value:
        """`super()` in this method."""
        cls = frame.scope.enclosing_class
        return Super(cls) if cls is not None else UNKNOWN

    def super_attribute(self, frame: Frame, cls: Class, name: str) -> Value:
        """`super().name`: the next project class's method, or an External when that is somebody else's."""
        found = self.names.method(cls, name, after=cls)
        if found is None:
            return External(f"super().{name}")
        holder, node = found
        return Function(node, self.names.scope_of(holder), frame.receiver)

    # -- tests and numbers

    def truth(self, frame: Frame, state: State, test: ast.expr, value: Value) -> bool | None:
        """How a test comes out, where that is known or assumed."""
        if isinstance(value, Const):
            return bool(value.value)
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.truth(frame, state, operand, self.evaluate(frame, state, operand))
                return None if inner is None else not inner
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as operator], comparators=[right]):
                one, two = self.evaluate(frame, state, left), self.evaluate(frame, state, right)
                if two == Const(None) and _is_something(one):
                    return isinstance(operator, ast.IsNot)
            case ast.Compare(left=ast.Constant(value="labels"), ops=[ast.In() | ast.NotIn() as operator]):
                return isinstance(operator, ast.In)
            case ast.BoolOp(op=operator, values=operands):
                outcomes = [self.truth(frame, state, one, self.evaluate(frame, state, one)) for one in operands]
                decisive = isinstance(operator, ast.Or)
                if decisive in outcomes:
                    return decisive
                return None if None in outcomes else not decisive
        if isinstance(value, Count) and value.is_trainers:
            return True
        return self.truths.get(ast.unparse(test))

    def number_of(self, frame: Frame, name: str) -> float | None:
        """The number that a command-line option or a configuration field of that name defaults to."""
        return defaults_of(frame.scope.parsed).get(name)

    def _module_expression(self, node: ast.expr, scope: Scope) -> Value:
        frame = Frame(scope, node, "")
        return self.evaluate(frame, State({}), node)


def _is_something(value: Value) -> bool:
    """Can this value not be None? An optional entry of a batch can."""
    if isinstance(value, Tensor):
        return value.kind in (TensorKind.LABELS, TensorKind.LOGITS, TensorKind.BATCH)
    return isinstance(value, Count | Loss | Elements | Function | Model | Built | Instance | Output | Table | Items)


def bind(function: Function, positional: tuple[Value, ...], named: tuple[tuple[str, Value], ...]) -> dict[str, Value]:
    """Arguments by parameter name; what is left over goes to `*args` and `**kwargs`."""
    parameters = function.node.args
    names = [parameter.arg for parameter in (*parameters.posonlyargs, *parameters.args)]
    values: dict[str, Value] = dict(function.preset)
    if function.bound is not None and names:
        values[names[0]] = function.bound
        names = names[1:]
    names = [name for name in names if name not in values]
    values.update(zip(names, positional, strict=False))
    known = {*names, *(parameter.arg for parameter in parameters.kwonlyargs)}
    rest: list[tuple[str, Value]] = []
    for name, value in named:
        if name in known:
            values[name] = value
        else:
            rest.append((name, value))
    if parameters.kwarg is not None and rest:
        entries = tuple((name, value) for name, value in rest if name != "**")
        unpacked = [value for name, value in rest if name == "**"]
        values[parameters.kwarg.arg] = Table(entries, unpacked[0] if unpacked else UNKNOWN)
    if parameters.vararg is not None and len(positional) > len(names):
        values[parameters.vararg.arg] = Items(positional[len(names) :])
    return values
