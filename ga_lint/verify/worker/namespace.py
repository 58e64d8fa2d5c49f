"""What does a free name of the slice mean? Globals that resolve each name from its definition when it is first used."""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib
import logging
import posixpath
import re
from typing import TYPE_CHECKING

from ga_lint.verify.worker.callers import from_caller, is_reached
from ga_lint.verify.worker.definitions import ModuleView, prepared
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.library import equipped
from ga_lint.verify.worker.harness.slice_builtins import ALLOWED, BUILTINS, NAME, Os, compiled, installed_name, member
from ga_lint.verify.worker.harness.stand_ins import MISSING, Guess, Quiet, Unknown
from ga_lint.verify.worker.harness.unpacking import unpack
from ga_lint.verify.worker.passages import with_passages
from ga_lint.verify.worker.reading.calls import is_costly
from ga_lint.verify.worker.reading.sources import (
    Function,
    Module,
    bindings,
    bound_names,
    loaded_names,
    module_file,
)

if TYPE_CHECKING:
    from ga_lint.verify.worker.files import Binder, SliceFiles

_KERNEL = re.compile(r"^(Fused|Liger|Flash|Triton)\w*Loss$")  # its own code runs on a GPU only


class Namespace(dict[str, object]):
    """The globals of one scope. A dict subclass: CPython asks `__missing__` for global names that are not there.

    `bind` is asked before the definitions (the roles of a loop), the files' `guess` after them.
    """

    def __init__(
        self,
        files: SliceFiles,
        module: Module,
        definitions: dict[str, list[ast.stmt]],
        *,
        parameters: dict[str, ast.expr | None] | None = None,
        outer: Namespace | None = None,
        bind: Binder | None = None,
        function: Function | None = None,
    ) -> None:
        super().__init__(__builtins__=BUILTINS, __name__=NAME, __file__=str(module.path))
        self.files, self.module, self.outer = files, module, outer
        self._definitions, self._parameters = definitions, parameters or {}
        self.binder, self._busy, self.function = bind, set[str](), function

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
        return Namespace(self.files, self.module, found, parameters=defaults, outer=self, bind=bind, function=function)

    def evaluate(self, expression: ast.expr) -> object:
        node = ast.Expression(with_passages(self.files.rewrite(copy.deepcopy(expression))))
        return eval(compiled(node, self.module.path, "eval"), self)

    def execute(self, statement: ast.stmt) -> None:
        exec(compiled(ast.Module([statement], []), self.module.path, "exec"), self)

    @property
    def known(self) -> set[str]:
        """The names that this scope or its file defines."""
        return {*self._definitions, *self.module.top}

    def stand_in(self, name: str) -> object:
        if name in self.files.recorder.chosen:
            return self.files.recorder.chosen[name]
        value = self.files.guess(name)
        return Unknown(name, self.files.recorder, self.files.guess) if value is MISSING else value

    def _resolve(self, name: str) -> object:
        if self.binder is not None:
            value = self.binder(name)
            if value is not MISSING:
                return value
        if name in self._busy:
            return self.stand_in(name)
        if name in self._definitions and _KERNEL.search(name):
            value = self.files.guess(name)
            if value is not MISSING:
                return value
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
            value = self.files.guess(name)
            if value is MISSING:
                value = from_caller(self, self.function, name)
            default = self._parameters[name]
            # What a caller gives is not known: of None it is known that it is not left as it is.
            is_unknown = isinstance(value, Unknown) and isinstance(default, ast.Constant) and default.value is not None
            if isinstance(default, ast.Constant) and (value is MISSING or is_unknown):
                return default.value
            return self.stand_in(name) if value is MISSING else value
        if name not in self._definitions and self.outer is not None:
            return self.outer[name]
        return self.stand_in(name)

    def _make(self, name: str, found: list[ast.stmt]) -> object:
        """The value that these statements give the name: an import that works, else a definition, else a value."""
        if len(found) > 1:
            found = [statement for statement in found if is_reached(self, name, statement)] or found
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

    def define(self, node: ast.stmt, copied_from: ast.stmt | None = None) -> None:
        """Execute a definition without the decorators that are not known, and with the bases that exist.

        What it was `copied_from` outlives the copy: the code is kept under the name of that one.
        """
        key = id(node if copied_from is None else copied_from), copied_from is not None
        code = self.files.code.get(key)
        if code is None:
            copied = self.files.rewrite(copy.deepcopy(node))
            if isinstance(copied, ast.ClassDef):
                copied = self.files.cut(copied)
            copied = prepared(self, with_passages(copied))
            code = compiled(ast.Module([copied], []), self.module.path, "exec")
            if isinstance(node, Function):  # a class is prepared for one namespace
                self.files.code[key] = code
        exec(code, self)

    def class_named(self, name: str) -> tuple[Namespace, ast.ClassDef] | None:
        """The definition of a class that this scope can name, and the namespace of its file."""
        for statement in reversed(self._definitions.get(name, [])):
            if isinstance(statement, ast.ClassDef):
                return self, statement
            if isinstance(statement, ast.ImportFrom):
                alias = next(a for a in statement.names if (a.asname or a.name) == name)
                path = module_file(self.module.path, self.files.root, statement.module or "", statement.level)
                space = self.files.file(path) if path is not None else None
                return space.class_named(alias.name) if space is not None else None
        return None

    def _imported(self, name: str, statement: ast.Import | ast.ImportFrom) -> object:
        alias = next(a for a in statement.names if (a.asname or a.name).split(".")[0] == name)
        if isinstance(statement, ast.Import):
            return self.imported_module(alias.name if alias.asname else name, 0, self.files.guess)
        value = member(self.imported_module(statement.module or "", statement.level), alias.name)
        guessed = self.files.guess(name) if isinstance(value, Unknown) else MISSING
        return value if guessed is MISSING else guessed

    def imported_module(self, source: str, level: int, guess: Guess | None = None) -> object:
        """A module that may be imported, a slice of one of the repository's own files, or a stand-in."""
        if not level and source.split(".", maxsplit=1)[0] in ALLOWED:
            with contextlib.suppress(Exception):
                return importlib.import_module(source)
        if source.split(".", maxsplit=1)[0] == "os" and not level:
            return posixpath if source == "os.path" else Os(self.files.recorder)
        path = module_file(self.module.path, self.files.root, source, level)
        space = self.files.file(path) if path is not None else None
        if space is not None:
            return ModuleView(space)
        with contextlib.suppress(Exception):
            return importlib.import_module(installed_name(self.module.path, source, level))
        return equipped(Unknown("." * level + source, self.files.recorder, guess), source, self.files.recorder)

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
        if statement.value is None or is_costly(statement.value):
            return MISSING
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        try:
            value = self.evaluate(statement.value)
            if isinstance(value, logging.Logger):  # the project may have given its own more methods
                return Quiet()
            if isinstance(target, ast.Name):
                return MISSING if isinstance(value, Unknown) or _is_options(value) else value
            if isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
                if isinstance(value, Unknown):
                    return MISSING
                names = tuple(bound_names(statement))
                for other, part in zip(names, unpack(value, names), strict=True):  # type: ignore[call-overload]
                    self.setdefault(other, part)  # evaluated once: `x, y = get_batch()` draws one batch
                return self[name]
        except (Exception, NotVerifiable):  # noqa: BLE001 - the user's code may raise anything
            return MISSING  # it could not be computed here; its name may still say what it is
        return MISSING


def _is_options(value: object) -> bool:
    """An installed library's options: of another release than the one that this code was written for, perhaps."""
    kind = type(value)
    return kind.__name__.endswith("Arguments") and kind.__module__.split(".")[0] in ALLOWED
