"""What is a loss that a helper computes, seen from the function that calls the helper?"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Step
from ga_lint.facts.model import Divisor, Place
from ga_lint.facts.values import Choice, Function, Items, Loss, Table, Value, matters
from ga_lint.syntax.parameters import parameter_names
from ga_lint.syntax.repeatable import SAME_ELEMENTS, is_repeatable
from ga_lint.syntax.text import text_of
from ga_lint.syntax.walk import walk

if TYPE_CHECKING:
    from ga_lint.facts.interpreter import Interpreter
    from ga_lint.facts.interpreter.paths import Frame

# What returns a policy's objective, as the step says that leads there: all terms of it are the method's own.
_POLICY = re.compile(r"[._`](ppo|grpo|rloo|reinforce|pg|policy|policy_gradient|actor|rl)_loss(_fn|_fct)?`$")
_ADVANTAGES = re.compile(r"(^|_)advantages?$", re.IGNORECASE)  # a parameter of such a function, whatever its name
_AS_PASSED = "__as_passed"  # behind a parameter's name: what was passed, before the helper rebinds the name


def handed_back(run: Interpreter, frame: Frame, function: Function, node: ast.Call, value: Value) -> Value:
    """What the call returns: of each loss in it where it was called, and its divisor in the caller's words."""
    if not (matters(value) or isinstance(value, Table)):
        return value
    place = run.place(frame, node)
    step = place.as_step(f"returned by `{text_of(node.func)}`")
    policy = any(_ADVANTAGES.search(name) for name in parameter_names(function.node))
    return _mapped(value, step, _Words(place, frame, function, node), policy)


def _mapped(value: Value, step: Step, words: _Words | None, policy: bool = False) -> Value:
    """Without `words`, the loss is too deep inside of what is returned to be named at the call."""
    match value:
        case Loss(terms=terms):
            divisors = [words.translated(term.site.divisor) if words else None for term in terms]
            policy = policy or _POLICY.search(step.message) is not None
            sites = [
                replace(term.site, via=(step, *term.site.via), divisor=divisor, policy=term.site.policy or policy)
                for term, divisor in zip(terms, divisors, strict=True)
            ]
            return replace(value, terms=tuple(replace(t, site=site) for t, site in zip(terms, sites, strict=True)))
        case Items(values=(first, *others)):
            head = _mapped(first, step, words if isinstance(first, Loss) else None, policy)
            return Items((_in_pair(head), *(_mapped(one, step, None, policy) for one in others)))
        case Choice(values=values):
            return Choice(tuple(_mapped(one, step, words, policy) for one in values))
        case Table(entries=entries):
            return replace(value, entries=tuple((key, _mapped(one, step, None, policy)) for key, one in entries))
        case _:
            return value


def _in_pair(value: Value) -> Value:
    """The loss in `loss, outputs`."""
    if not isinstance(value, Loss):
        return value
    sites = [replace(t.site, divisor=t.site.divisor and replace(t.site.divisor, in_pair=True)) for t in value.terms]
    return replace(value, terms=tuple(replace(t, site=site) for t, site in zip(value.terms, sites, strict=True)))


class _Words:
    """A helper's names, as the function that calls it there would write them."""

    def __init__(self, call: Place, frame: Frame, function: Function, node: ast.Call) -> None:
        self._call = call
        self._frame = frame
        self._function = function
        self._node = node
        self._helper = Place(function.scope.parsed.path, function.scope.parsed.span_of(function.node))

    def translated(self, divisor: Divisor | None) -> Divisor:
        """The divisor at the call, with an empty text where the caller cannot write it."""
        return Divisor("" if divisor is None else self._text(divisor), self._call)

    def _text(self, divisor: Divisor) -> str:
        place = divisor.place
        if not divisor.text or place.path != self._helper.path or not self._helper.span.contains(place.span):
            return ""
        inner = _without_locals(_parsed(divisor.text), self._locals)
        if inner is None:
            return ""
        arguments = self._arguments
        unknown = {name for name in _names(inner) if name not in arguments}
        parameters = parameter_names(self._function.node)
        if any(name.removesuffix(_AS_PASSED) in parameters or not self._is_common(name) for name in unknown):
            return ""
        return ast.unparse(_Replaced(arguments).visit(inner))

    def _is_common(self, name: str) -> bool:
        """Does it mean the same in both functions? A name of the module that they stand in, or a builtin."""
        if hasattr(builtins, name):
            return True
        if self._call.path != self._helper.path:
            return False
        inside = self._frame.scope.parsed.span_of(self._frame.node).contains(self._helper.span)  # a closure's names
        return inside or name not in _assignments(self._frame.node)

    @cached_property
    def _locals(self) -> dict[str, ast.expr | None]:
        """What each name stands for that the helper binds; None where that depends on the path."""
        found: dict[str, ast.expr | None] = _constants(self._function) if self._call.path != self._helper.path else {}
        parameters = parameter_names(self._function.node)
        for name, values in _assignments(self._function.node).items():
            changed = [value for value in values if not _leaves_alone(value, name)]
            if not changed:
                continue
            only = changed[0] if len(changed) == 1 else None
            if only is None or not is_repeatable(only):
                found[name] = None
            elif name in parameters:
                found[name] = _rebound(self._function, name, only)
            else:
                found[name] = only
        return found

    @cached_property
    def _arguments(self) -> dict[str, ast.expr]:
        """The arguments that may be written once more, by parameter."""
        if any(isinstance(argument, ast.Starred) for argument in self._node.args):
            return {}
        node = self._function.node.args
        names = [one.arg for one in (*node.posonlyargs, *node.args)]
        found: dict[str, ast.expr] = {}
        if self._function.bound is not None and names:
            if isinstance(self._node.func, ast.Attribute):
                found[names[0]] = self._node.func.value
            names = names[1:]
        names = [name for name in names if name not in dict(self._function.preset)]
        found.update(zip(names, self._node.args, strict=False))
        found.update({keyword.arg: keyword.value for keyword in self._node.keywords if keyword.arg is not None})
        passed = {name: argument for name, argument in found.items() if is_repeatable(argument)}
        return passed | {name + _AS_PASSED: argument for name, argument in passed.items()}


class _Replaced(ast.NodeTransformer):
    def __init__(self, texts: Mapping[str, ast.expr]) -> None:
        self._texts = texts

    def visit_Name(self, node: ast.Name) -> ast.expr:
        text = self._texts.get(node.id)
        return node if text is None else _parsed(text_of(text))  # the user's own tree stays as it is


def _without_locals(tree: ast.expr, values: Mapping[str, ast.expr | None]) -> ast.expr | None:
    """The expression with each local name written out; None where one stands for nothing certain, or for itself."""
    for _ in range(len(values) + 1):
        used = {name: values[name] for name in _names(tree) if name in values}
        if not used:
            return tree
        known = {name: value for name, value in used.items() if value is not None}
        if len(known) < len(used):
            return None
        tree = _Replaced(known).visit(tree)
    return None


def _leaves_alone(value: ast.expr | None, name: str) -> bool:
    """`labels.to(device).view(-1)`, for `labels`; the `None` that stands there until there is one."""
    if isinstance(value, ast.Constant) and value.value is None:
        return True
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in SAME_ELEMENTS:
        value = value.func.value
    return isinstance(value, ast.Name) and value.id == name


def _assignments(node: ast.AST) -> dict[str, list[ast.expr | None]]:
    """What each name is bound to in there: the values of plain assignments, None for anything else.

    What changes a tensor in place binds its name anew.
    """
    found: dict[str, list[ast.expr | None]] = {}
    plain: set[ast.AST] = set()
    for inner in walk(node):
        if isinstance(inner, ast.Assign) and all(isinstance(target, ast.Name) for target in inner.targets):
            plain.update(inner.targets)
            for target in inner.targets:
                assert isinstance(target, ast.Name)
                found.setdefault(target.id, []).append(inner.value)
    for inner in walk(node):
        match inner:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if inner not in plain:
                found.setdefault(name, []).append(None)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                found.setdefault(name, []).append(None)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method.endswith("_"):
                found.setdefault(name, []).append(None)
    return found


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _rebound(function: Function, name: str, value: ast.expr) -> ast.expr | None:
    """`labels[:, 1:]` of the argument, for a parameter that is rebound to that before anything else happens to it."""
    at_once = any(isinstance(line, ast.Assign) and line.value is value for line in _body(function))
    if any(_is_read_before(node, name, value) for node in walk(function.node)):
        return None
    return _Replaced({name: ast.Name(name + _AS_PASSED)}).visit(_parsed(text_of(value))) if at_once else None


def _is_read_before(node: ast.AST, name: str, value: ast.expr) -> bool:
    if not isinstance(node, ast.Name) or node.id != name or not isinstance(node.ctx, ast.Load):
        return False
    return (node.lineno, node.col_offset) < (value.lineno, value.col_offset)


def _constants(function: Function) -> dict[str, ast.expr | None]:
    """The numbers that the helper's module gives names to."""
    found: dict[str, ast.expr | None] = {}
    for line in function.scope.parsed.tree.body:
        match line:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Constant() | ast.UnaryOp(operand=ast.Constant()) as value
            ):
                found[name] = value if name not in found else None
            case _:
                pass
    return found


def _body(function: Function) -> list[ast.stmt]:
    return [] if isinstance(function.node, ast.Lambda) else function.node.body


def _names(tree: ast.expr) -> set[str]:
    return {node.id for node in walk(tree) if isinstance(node, ast.Name)}
