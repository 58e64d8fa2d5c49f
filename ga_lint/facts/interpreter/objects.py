"""What are the attributes of an object of the project's own class? Learnt from `__init__` when first asked for."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter.assigned import assigned_elsewhere, is_set_later
from ga_lint.facts.interpreter.calling import bind, environment
from ga_lint.facts.interpreter.paths import MAX_DEPTH, Frame, State
from ga_lint.facts.interpreter.scopes import Scope
from ga_lint.facts.interpreter.unpacking import handed_to
from ga_lint.facts.model import Level
from ga_lint.facts.values import (
    UNKNOWN,
    Class,
    Const,
    Count,
    External,
    Function,
    Instance,
    Model,
    Scale,
    Super,
    Symbol,
    Unknown,
    Value,
    alternatives,
    choice,
)
from ga_lint.syntax.parameters import positional_names
from ga_lint.syntax.parsed import FunctionNode
from ga_lint.syntax.text import text_of
from ga_lint.syntax.walk import walk

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.calls import Call


def instance(
    run: Interpreter, cls: Class, positional: tuple[Value, ...] = (), named: tuple[tuple[str, Value], ...] = ()
) -> Instance:
    """An object of a project class; `__init__` is run when an attribute is asked for."""
    run.arguments.setdefault(id(cls.node), (positional, named))
    return Instance(cls)


def loaded(run: Interpreter, cls: Class, positional: tuple[Value, ...], named: tuple[tuple[str, Value], ...]) -> Value:
    """`Class.from_pretrained(path, ...)`: a network, its own where the class has a forward, else its library's."""
    if run.names.method(cls, "forward") is not None:
        return Model(inner=instance(run, cls, (UNKNOWN, *positional[1:]), named))
    return stock_model(run, cls) or UNKNOWN


def stock_model(run: Interpreter, cls: Class) -> Model | None:
    """The library's network that a class without a forward of its own is when it is called."""
    if run.names.method(cls, "forward") is not None or run.names.method(cls, "__call__") is not None:
        return None
    heads = (one.name for base in run.names.ancestry(cls) for one in alternatives(base) if isinstance(one, External))
    head = next((name for name in heads if run.knowledge.head_level(name)), None)
    level = run.knowledge.head_level(head) if head else None
    return Model(Level(level), head, run.knowledge.head_shifts(head)) if head and level else None


def _learn_attributes(run: Interpreter, frame: Frame, cls: Class) -> None:
    """Run `__init__` with the arguments of the first construction that was seen."""
    if (id(cls.node), "") in run.heap:
        return
    run.heap[id(cls.node), ""] = UNKNOWN
    found = run.names.method(cls, "__init__")
    if found is not None:
        owner, node = found
        function = Function(node, run.names.scope_of(owner), Instance(cls))
        positional, named = run.arguments.get(id(cls.node), ((), ()))
        local = environment(run, function, bind(function, positional, named), called=id(cls.node) in run.arguments)
        for name, value in _initialised(run, frame, cls, function, local).items():
            known = run.heap.get((id(cls.node), name))
            run.heap[id(cls.node), name] = value if known is None else choice([known, value])


def _initialised(
    run: Interpreter, frame: Frame, cls: Class, function: Function, local: dict[str, Value]
) -> dict[str, Value]:
    """The attributes that this `__init__` sets, by name."""
    node = function.node
    if isinstance(node, ast.Lambda) or node in run.running or frame.depth >= MAX_DEPTH or run.is_beyond(function.scope):
        return {}
    inner = Scope(function.scope.parsed, function.scope, {}, function.scope.cls)
    inside = Frame(inner, node, cls.node.name, function.bound, depth=frame.depth + 1)
    own = _self_name(node)
    events = list(run.events)
    run.running.append(node)
    try:
        paths = run.execute(inside, [one for one in node.body if not _asks_itself(one, own)], [State(local)])
    finally:
        run.running.pop()
    run.events = events
    found: dict[str, list[Value]] = {}
    for path in paths:
        for text, value in path.env.items():
            owner, _, name = text.partition(".")
            if owner == own and name and "." not in name:
                found.setdefault(name, []).append(value)
    return {name: choice(values) for name, values in found.items()}


def _self_name(node: FunctionNode) -> str:
    return node.args.args[0].arg if node.args.args else "self"


def _asks_itself(statement: ast.stmt, own: str) -> bool:
    """`self._setup()`: what another method sets is not seen from here."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return name == own
    return False


def made_by_super(call: Call, above: Super) -> Value:
    """`super().__init__(...)`: the attributes that it sets, in the function that calls it."""
    run, frame = call.run, call.frame
    found = run.names.method(above.cls, "__init__", after=above.cls)
    if found is None or not isinstance(frame.node, FunctionNode) or not isinstance(frame.receiver, Instance):
        return UNKNOWN
    owner, node = found
    if owner.node.name in run.knowledge.bases_without_loss:
        return UNKNOWN
    function = Function(node, run.names.scope_of(owner), frame.receiver)
    given = handed_to(function, call.positional, call.named, call.node)
    local = environment(run, function, given, called=not any(name == "**" for name, _ in call.named))
    for name, value in _initialised(run, frame, frame.receiver.cls, function, local).items():
        call.state.env[f"{_self_name(frame.node)}.{name}"] = value
    return UNKNOWN


def attribute(run: Interpreter, frame: Frame, cls: Class, owner: Instance, name: str, text: str) -> Value:
    """`object.name`: a method, an attribute that `__init__` or another method sets, or one of the class's."""
    found = run.names.method(cls, name)
    if found is not None:
        holder, node = found
        method = Function(node, run.names.scope_of(holder), owner)
        if any(text_of(d).rpartition(".")[2] in ("property", "cached_property") for d in node.decorator_list):
            return run.call(frame, method, (), ())
        decorators = {text_of(decorator) for decorator in node.decorator_list}
        if "classmethod" in decorators:
            return replace(method, bound=cls)
        return Function(node, method.scope) if "staticmethod" in decorators else method
    _learn_attributes(run, frame, cls)
    known = run.heap.get((id(cls.node), name))
    if known is not None and (run.only_with_labels or not is_set_later(known)):
        return _of_this_round(frame, known, text)
    value = None if run.only_with_labels else assigned_elsewhere(run, frame, cls, name)
    if known is not None:
        value = value or Const(None, name)
    if value is None:
        value = class_attribute(run, cls, name)
        if value == Const(1) and _is_dataclass(cls):  # where nobody gives another: like an option's default
            value = Symbol(text, 1)
    if isinstance(value, Unknown):
        value = Symbol(text, frame.scope.parsed.numbers.get(name))
    run.heap[id(cls.node), name] = value
    return value


def _is_dataclass(cls: Class) -> bool:
    """Is each of its fields a parameter of its constructor?"""
    marks = [one.func if isinstance(one, ast.Call) else one for one in cls.node.decorator_list]
    return any(text_of(one).rpartition(".")[2] == "dataclass" for one in marks)


def _of_this_round(frame: Frame, value: Value, text: str) -> Value:
    """`batch.ntokens`, of an object that each round of a running loop gets anew: counted in it, not before it."""
    if not isinstance(value, Count) or value.scale is not Scale.MICRO_BATCH:
        return value
    rounds = [
        n for n, loop in enumerate(frame.loops, 1) if n > frame.inherited and text.partition(".")[0] in loop.assigned
    ]
    return replace(value, depth=rounds[-1]) if rounds else value


def class_attribute(run: Interpreter, cls: Class, name: str) -> Value:
    """`Class.name`: a method, unbound, or a value that the class's body assigns."""
    found = run.names.method(cls, name)
    if found is not None:
        holder, node = found
        bound = cls if any(text_of(decorator) == "classmethod" for decorator in node.decorator_list) else None
        return Function(node, run.names.scope_of(holder), bound)
    for ancestor in run.names.ancestry(cls):
        if not isinstance(ancestor, Class):
            continue
        for statement in ancestor.node.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    return run.module_expression(value, ancestor.scope)
                case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                    return run.module_expression(value, ancestor.scope)
    return UNKNOWN


def passed_on(run: Interpreter, cls: Class, positional: tuple[Value, ...]) -> Value:
    """`L2Wrap.apply(loss, logits)`: the argument that an autograd function of the project's own returns as it is."""
    found = run.names.method(cls, "forward")
    if found is None:
        return UNKNOWN
    given = dict(zip(positional_names(found[1])[1:], positional, strict=False))  # the first is the context
    returned = [node.value for node in walk(found[1]) if isinstance(node, ast.Return)]
    names = {value.id if isinstance(value, ast.Name) else "" for value in returned}
    bound = {node.id for node in walk(found[1]) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return given.get(names.pop(), UNKNOWN) if len(names) == 1 and not names & bound else UNKNOWN


def super_value(frame: Frame) -> Value:
    """`super()` in this method."""
    cls = frame.scope.enclosing_class
    return Super(cls) if cls is not None else UNKNOWN


def super_attribute(run: Interpreter, frame: Frame, cls: Class, name: str) -> Value:
    """`super().name`: the next project class's method, or an External when that is somebody else's."""
    found = run.names.method(cls, name, after=cls)
    if found is None:
        return External(f"super().{name}")
    holder, node = found
    return Function(node, run.names.scope_of(holder), frame.receiver)
