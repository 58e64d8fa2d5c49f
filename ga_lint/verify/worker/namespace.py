"""What does a free name of the slice mean? Globals that resolve each name from its definition when it is first used."""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ga_lint.verify.worker.slice_builtins import ALLOWED, BUILTINS, NAME, compiled, member
from ga_lint.verify.worker.sources import (
    Function,
    Module,
    bindings,
    bound_names,
    dotted,
    last,
    loaded_names,
    module_file,
    read_module,
)
from ga_lint.verify.worker.stand_ins import MISSING, Guess, NotVerifiable, Recorder, Unknown

# Calls whose result is worth no attempt: they read disks and networks, or build what the harness builds itself.
_COSTLY = frozenset(
    "from_pretrained load_dataset DataLoader init open load prepare initialize compile parse_args input "
    "DistributedDataParallel DDP FSDP get_scheduler".split()
)
_KEPT_DECORATORS = frozenset(
    "staticmethod classmethod property cached_property contextmanager dataclass lru_cache cache wraps no_grad "
    "inference_mode enable_grad setter".split()
)

Binder = Callable[[str], object]
Rewriter = Callable[[ast.AST], ast.AST]


class Loader:
    """The namespaces of one site's files; `base_for` says what replaces a base class that is not there."""

    def __init__(self, root: Path, recorder: Recorder) -> None:
        self.root = root
        self.recorder = recorder
        self.guess: Binder = lambda _: MISSING
        self.base_for: Callable[[str], type | None] = lambda _: None
        self.cut: Callable[[ast.ClassDef], ast.ClassDef] = lambda node: node
        self.rewrite: Rewriter = lambda node: node
        self._files: dict[Path, Namespace | None] = {}

    def module_namespace(self, module: Module, bind: Binder | None = None, before: int | None = None) -> Namespace:
        """The globals of the site's own file; `before`: as they are when this row is reached."""
        found = module.top if before is None else bindings(module.tree.body, before)
        space = Namespace(self, module, found, bind=bind)
        self._files[module.path] = space
        return space

    def file(self, path: Path) -> Namespace | None:
        if path not in self._files:
            module = read_module(path)
            self._files[path] = Namespace(self, module, module.top) if module is not None else None
        return self._files[path]


class Namespace(dict[str, object]):
    """The globals of one scope. A dict subclass: CPython asks `__missing__` for global names that are not there.

    `bind` is asked before the definitions (the roles of a loop), the loader's `guess` after them.
    """

    def __init__(
        self,
        loader: Loader,
        module: Module,
        definitions: dict[str, list[ast.stmt]],
        *,
        parameters: dict[str, ast.expr | None] | None = None,
        outer: Namespace | None = None,
        bind: Binder | None = None,
    ) -> None:
        super().__init__(__builtins__=BUILTINS, __name__=NAME, __file__=str(module.path))
        self.loader, self.module, self.outer = loader, module, outer
        self._definitions, self._parameters = definitions, parameters or {}
        self._bind, self._busy = bind, set[str]()

    def __missing__(self, name: str) -> object:
        if name not in self._definitions and name not in self._parameters and name in BUILTINS:
            raise KeyError(name)
        value = self[name] = self._resolve(name)
        return value

    def inner(self, function: Function, before: int | None = None, bind: Binder | None = None) -> Namespace:
        """The namespace of a function's body, as far as it stands before the row `before`."""
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args]
        defaults: dict[str, ast.expr | None] = dict.fromkeys(a.arg for a in (*named, *arguments.kwonlyargs))
        defaults.update(zip((a.arg for a in reversed(named)), reversed(arguments.defaults), strict=False))
        defaults.update(zip((a.arg for a in arguments.kwonlyargs), arguments.kw_defaults, strict=True))
        found = bindings(function.body, before)
        return Namespace(self.loader, self.module, found, parameters=defaults, outer=self, bind=bind)

    def evaluate(self, expression: ast.expr) -> object:
        node = ast.Expression(self.loader.rewrite(copy.deepcopy(expression)))  # type: ignore[arg-type]
        return eval(compiled(node, self.module.path, "eval"), self)

    def execute(self, statement: ast.stmt) -> None:
        exec(compiled(ast.Module([statement], []), self.module.path, "exec"), self)

    def stand_in(self, name: str) -> object:
        value = self.loader.guess(name)
        return Unknown(name, self.loader.recorder, self.loader.guess) if value is MISSING else value

    def _resolve(self, name: str) -> object:
        if self._bind is not None:
            value = self._bind(name)
            if value is not MISSING:
                return value
        if name in self._busy:
            return self.stand_in(name)
        self._busy.add(name)
        try:
            return self._defined(name)
        finally:
            self._busy.discard(name)

    def _defined(self, name: str) -> object:
        if name in self._definitions:
            value = self._make(name, self._definitions[name])
            if value is not MISSING:
                return value
        if name in self._parameters:
            default = self._parameters[name]
            value = self.loader.guess(name)
            if value is MISSING and isinstance(default, ast.Constant):
                return default.value
            return self.stand_in(name)
        if name not in self._definitions and self.outer is not None:
            return self.outer[name]
        return self.stand_in(name)

    def _make(self, name: str, found: list[ast.stmt]) -> object:
        """The value that these statements give the name: an import that works, else a definition, else a value."""
        imports = [s for s in found if isinstance(s, ast.Import | ast.ImportFrom)]
        for statement in reversed(imports):
            value = self._imported(name, statement)
            if not isinstance(value, Unknown):
                return value
        definitions = [s for s in found if isinstance(s, Function | ast.ClassDef)]
        if definitions:
            self.define(definitions[-1])
            return self[name]
        values = [s for s in found if isinstance(s, ast.Assign | ast.AnnAssign)]
        if values and (not imports or found[-1] is values[-1]):
            return self._assigned_in_turn(name, values)
        return value if imports else MISSING

    def define(self, node: ast.stmt) -> None:
        """Execute a definition without the decorators that are not known, and with the bases that exist."""
        node = self.loader.rewrite(copy.deepcopy(node))  # type: ignore[assignment]
        if isinstance(node, ast.ClassDef):
            node = self.loader.cut(node)
        for each in ast.walk(node):
            if isinstance(each, Function | ast.ClassDef):
                each.decorator_list = [d for d in each.decorator_list if self._keeps(d, each.name)]
        if isinstance(node, ast.ClassDef):
            node.keywords = []
            node.bases = list(self._bases(node))
            for name in sorted(_class_names(node) & (self._definitions.keys() | self.module.top.keys())):
                if name != node.name:
                    self[name]  # a class body does not ask __missing__: resolve what it reads now
        self.execute(node)

    def class_named(self, name: str) -> tuple[Namespace, ast.ClassDef] | None:
        """The definition of a class that this scope can name, and the namespace of its file."""
        for statement in reversed(self._definitions.get(name, [])):
            if isinstance(statement, ast.ClassDef):
                return self, statement
            if isinstance(statement, ast.ImportFrom):
                alias = next(a for a in statement.names if (a.asname or a.name) == name)
                path = module_file(self.module.path, self.loader.root, statement.module or "", statement.level)
                space = self.loader.file(path) if path is not None else None
                return space.class_named(alias.name) if space is not None else None
        return None

    def _keeps(self, decorator: ast.expr, owner: str) -> bool:
        name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if last(name) in _KEPT_DECORATORS:
            return True
        self.loader.recorder.assume(f"decorator `{ast.unparse(decorator)}` of {owner} dropped")
        return False

    def _bases(self, node: ast.ClassDef) -> Iterator[ast.expr]:
        seen: set[type] = set()
        for number, expression in enumerate(node.bases):
            value = self.evaluate(expression)
            if not isinstance(value, type):
                replaced = self.loader.base_for(ast.unparse(expression))
                what = (
                    f"replaced by {replaced.__module__.split('.')[0]}.{replaced.__name__}" if replaced else "left out"
                )
                self.loader.recorder.assume(f"base class {ast.unparse(expression)} {what}")
                value = replaced
            if isinstance(value, type) and value is not object and value not in seen:
                seen.add(value)
                name = f"__base_{node.name}_{number}"
                self[name] = value
                yield ast.Name(name, ast.Load())

    def _imported(self, name: str, statement: ast.Import | ast.ImportFrom) -> object:
        alias = next(a for a in statement.names if (a.asname or a.name).split(".")[0] == name)
        if isinstance(statement, ast.Import):
            return self.imported_module(alias.name if alias.asname else name, 0, self.loader.guess)
        value = member(self.imported_module(statement.module or "", statement.level), alias.name)
        if isinstance(value, Unknown):
            guessed = self.loader.guess(name)
            return value if guessed is MISSING else guessed
        return value

    def imported_module(self, source: str, level: int, guess: Guess | None = None) -> object:
        """A module that may be imported, a slice of one of the repository's own files, or a stand-in."""
        if not level and source.split(".")[0] in ALLOWED:
            with contextlib.suppress(Exception):
                return importlib.import_module(source)
        path = module_file(self.module.path, self.loader.root, source, level)
        space = self.loader.file(path) if path is not None else None
        if space is not None:
            return _ModuleView(space)
        return Unknown("." * level + source, self.loader.recorder, guess)

    def _assigned_in_turn(self, name: str, found: list[ast.Assign | ast.AnnAssign]) -> object:
        """The last value, and before it those that it is computed from: `n = a % b`, then `n = n or b`."""
        start = len(found) - 1
        while start > 0 and name in loaded_names(found[start].value or found[start]):
            start -= 1
        value: object = MISSING
        for statement in found[start:]:
            value = self._assigned(name, statement)
            if value is MISSING:
                break
            self[name] = value
        self.pop(name, None)
        return value

    def _assigned(self, name: str, statement: ast.Assign | ast.AnnAssign) -> object:
        if statement.value is None or _is_costly(statement.value):
            return MISSING
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        try:
            value = self.evaluate(statement.value)
            if isinstance(target, ast.Name):
                return MISSING if isinstance(value, Unknown) else value
            if isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
                for other, part in zip(bound_names(statement), value, strict=True):  # type: ignore[call-overload]
                    self.setdefault(other, part)  # evaluated once: `x, y = get_batch()` draws one batch
                return self[name]
        except (Exception, NotVerifiable):  # noqa: BLE001 - the user's code may raise anything
            return MISSING  # it could not be computed here; its name may still say what it is
        return MISSING


class _ModuleView:
    """A file of the repository as a module: attributes are the names of that file, or the files beside it."""

    def __init__(self, space: Namespace) -> None:
        self._space = space

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        space = self._space
        if name in space or name in space.module.top:
            return space[name]
        return space.imported_module(name, 1)


def _is_costly(expression: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) and last(dotted(n.func)) in _COSTLY for n in ast.walk(expression))


def _class_names(node: ast.ClassDef) -> set[str]:
    """The names that a class body reads while it is executed: its statements, and its methods' heads."""
    read: list[ast.AST] = []
    for statement in node.body:
        if isinstance(statement, Function):
            read += [*statement.args.defaults, *filter(None, statement.args.kw_defaults), *statement.decorator_list]
        else:
            read.append(statement)
    return {name for part in read for name in loaded_names(part)}
