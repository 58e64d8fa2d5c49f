"""What does a name mean here? Names of a module, of enclosing functions and of classes, looked up lazily."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from ga_lint.facts.values import UNKNOWN, Class, External, Function, Module, Value, alternatives, choice
from ga_lint.project import Project
from ga_lint.syntax.bindings import Binding, ImportedName
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

Evaluate = Callable[["ast.expr", "Scope"], Value]


class Scope(Struct, eq=False):
    """A module, or a function (with `names`) inside one. Scopes are told apart by identity."""

    parsed: ParsedFile
    parent: Scope | None = None
    names: dict[str, Value] = field(default_factory=dict)  # as the path that runs now has them
    cls: Class | None = None  # the class whose body or method this is
    known: dict[str, Value] = field(default_factory=dict)  # module-level names as their bindings say
    unbound: dict[str, External] = field(default_factory=dict)  # names that it uses and does not bind

    below: list[Scope] = field(default_factory=list)  # every scope of this module, itself included

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.below = self.parent.below
        self.below.append(self)

    @property
    def module(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    @property
    def enclosing_class(self) -> Class | None:
        scope: Scope | None = self
        while scope is not None and scope.cls is None:
            scope = scope.parent
        return scope.cls if scope else None


def methods_of(node: ast.ClassDef) -> dict[str, FunctionNode]:
    """The class's own methods by name, the first of each; kept on the node, since they are asked for often."""
    methods: dict[str, FunctionNode] | None = node.__dict__.get("_ga_lint_methods")
    if methods is None:
        methods = {}
        for statement in node.body:
            if isinstance(statement, FunctionNode):
                methods.setdefault(statement.name, statement)
        node._ga_lint_methods = methods  # type: ignore[attr-defined]
    return methods


class Names:
    """Looks names up across the modules of a project; `evaluate` turns a module-level expression into a value."""

    def __init__(self, project: Project, evaluate: Evaluate) -> None:
        self.project = project
        self._evaluate = evaluate
        self._modules: dict[int, Scope] = {}
        self._class_scopes: dict[int, Scope] = {}
        self._busy: set[tuple[int, str]] = set()
        self._ancestries: dict[int, list[Value]] = {}

    def module(self, parsed: ParsedFile) -> Scope:
        """The one scope of a module."""
        scope = self._modules.get(id(parsed))
        if scope is None:
            scope = self._modules[id(parsed)] = Scope(parsed)
        return scope

    def forget(self) -> None:
        """Let go of all scopes: their names lead back to them, and a file's tree would stay with them."""
        for module in self._modules.values():
            for scope in module.below:
                scope.names, scope.known = {}, {}
            module.below.clear()
        self._modules.clear()
        self._class_scopes.clear()
        self._ancestries.clear()

    def lookup(self, name: str, scope: Scope, *, running: bool = False) -> Value:
        """The value of `name`; an External of that name when nothing in the project binds it.

        `running`: the path that asks runs in `scope` itself and does not have the name; another path's value of it
        must not be taken.
        """
        at: Scope | None = scope
        while at is not None:
            own = running and at is scope
            if name in at.names and not own:
                return at.names[name]
            if at.parent is None:
                return self._global(name, at)
            at = at.parent
        return UNKNOWN

    def scope_of(self, cls: Class) -> Scope:
        """The scope that a class's methods are defined in."""
        key = id(cls.node)
        if key not in self._class_scopes:
            self._class_scopes[key] = Scope(cls.scope.parsed, cls.scope, {}, cls)
        return self._class_scopes[key]

    def attribute(self, module: Scope, name: str) -> Value:
        """`module.name` for a module of the project: a name that it binds, or a module below it."""
        found: Value | None = self._global(name, module, default=False)
        if found is None and module.parsed.path.name == "__init__.py":
            below = self.project.imported(module.parsed.path, ImportedName(name, 1, None))
            found = Module(self.module(below)) if below is not None else None
        return self._global(name, module) if found is None else found

    def imported(self, statement: ImportedName, scope: Scope) -> Value:
        """What an import binds: a value of the project's, or an External."""
        source = self.project.imported(scope.parsed.path, statement)
        if source is not None:
            if statement.name is None:
                return Module(self.module(source))
            own = source is scope.parsed  # `from . import losses` in a package's own `__init__.py`: a module below it
            found = None if own else self._global(statement.name, self.module(source), default=False)
            if found is not None:
                return found
        if statement.name is not None:
            submodule = f"{statement.module}.{statement.name}" if statement.module else statement.name
            source = self.project.imported(scope.parsed.path, ImportedName(submodule, statement.level, None))
            if source is not None:
                return Module(self.module(source))
        dots = "." * statement.level
        if statement.name is None:
            return External(dots + statement.module)
        return External(f"{dots}{statement.module}.{statement.name}" if statement.module else dots + statement.name)

    def base_classes(self, cls: Class) -> Iterator[Value]:
        """The values of a class's bases, in order; UNKNOWN for those that lead back to the class itself."""
        key = (id(cls.node), "")
        if key in self._busy:
            yield UNKNOWN
            return
        self._busy.add(key)
        try:
            bases = [self._base(base, cls.scope) for base in cls.node.bases]
        finally:
            self._busy.discard(key)
        yield from bases

    def _base(self, node: ast.expr, scope: Scope) -> Value:
        """A base, or the generic class in `BaseModule[WordMetric]`."""
        value = self._evaluate(node, scope)
        if isinstance(node, ast.Subscript) and not any(
            isinstance(one, Class | External) for one in alternatives(value)
        ):
            generic = self._evaluate(node.value, scope)
            return generic if any(isinstance(one, Class | External) for one in alternatives(generic)) else value
        return value

    def ancestry(self, cls: Class) -> Iterator[Value]:
        """The class, then every base that can be reached, nearest first: project classes and Externals."""
        if self._busy or cls.scope.parent is not None or cls.scope.names:
            return self._ancestors(cls)  # it may come out otherwise at another time
        known = self._ancestries.get(id(cls.node))
        if known is None:
            known = self._ancestries[id(cls.node)] = list(self._ancestors(cls))
        return iter(known)

    def _ancestors(self, cls: Class) -> Iterator[Value]:
        todo: list[Value] = [cls]
        seen: set[int] = set()
        while todo:
            value = todo.pop(0)
            if isinstance(value, Class):
                if id(value.node) in seen:
                    continue
                seen.add(id(value.node))
                yield value
                todo.extend(self.base_classes(value))
            else:
                yield value

    def method(self, cls: Class, name: str, *, after: Class | None = None) -> tuple[Class, FunctionNode] | None:
        """The definition of a method and the class that holds it; `after`: as `super()` of that class sees it."""
        waiting = after is not None
        for ancestor in self.ancestry(cls):
            if not isinstance(ancestor, Class):
                continue
            if waiting:
                waiting = ancestor.node is not (after.node if after else None)
                continue
            found = methods_of(ancestor.node).get(name)
            if found is not None:
                return ancestor, found
        return None

    def _global(self, name: str, module: Scope, default: bool = True) -> Value:
        if name in module.known:
            return module.known[name]
        if default and name in module.unbound:
            return module.unbound[name]
        key = (id(module), name)
        if key in self._busy:
            return UNKNOWN
        self._busy.add(key)
        try:
            found = [
                self._bound(binding, self.module(parsed)) for parsed, binding in self.project.find(module.parsed, name)
            ]
        finally:
            self._busy.discard(key)
        if not found:
            if not default:
                return None  # type: ignore[return-value]
            builtin = hasattr(builtins, name)
            module.unbound[name] = unbound = External(f"builtins.{name}") if builtin else self._starred(name, module)
            return unbound
        module.known[name] = value = choice(found)
        return value

    def _starred(self, name: str, module: Scope) -> External:
        """A name that nothing binds: of a known library where the module takes all names of one."""
        stars = (star.module for star in self.project.bindings(module.parsed).stars if star.level == 0)
        known = next((star for star in stars if star.partition(".")[0] in self.project.libraries), None)
        return External(f"{known}.{name}" if known else name)

    def _bound(self, binding: Binding, scope: Scope) -> Value:
        match binding:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return Function(binding, scope)
            case ast.ClassDef():
                return Class(binding, scope)
            case ImportedName():
                return self.imported(binding, scope)
            case _:
                return self._evaluate(binding, scope)
