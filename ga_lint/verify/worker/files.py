"""Which files does the slice reach? Each has one namespace, which all of the slice shares."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ga_lint.verify.worker.harness.stand_ins import MISSING, Recorder
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.reading.sources import Module, bindings, read_module

Binder = Callable[[str], object]  # what a name stands for, or MISSING
Rewriter = Callable[[ast.AST], Any]


class SliceFiles:
    """The namespaces of one site's files; `base_for` says what replaces a base class that is not there."""

    def __init__(self, root: Path, recorder: Recorder) -> None:
        self.root = root
        self.recorder = recorder
        self.guess: Binder = lambda _: MISSING
        self.base_for: Callable[[str], type | None] = lambda _: None
        self.cut: Callable[[ast.ClassDef], ast.ClassDef] = lambda node: node
        self.rewrite: Rewriter = lambda node: node
        self.code: dict[tuple[int, bool], types.CodeType] = {}  # of functions; may be shared by all runs of one reading
        self.calls: dict[int, Namespace] = {}  # the names where a call stands, so that each is evaluated once
        self.passing: set[tuple[int, str]] = set()  # parameters that are being looked up at their callers
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
