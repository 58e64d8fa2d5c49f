"""What do the built-in names mean inside a slice? Imports by an allow-list, no files, no printing."""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import importlib
import io
import posixpath
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.stand_ins import Recorder, Unknown
from ga_lint.verify.worker.harness.unpacking import PASSAGES

# What a slice may really import: computing, no input or output.
ALLOWED = frozenset(
    "torch transformers accelerate numpy math cmath typing typing_extensions dataclasses collections functools "
    "itertools contextlib copy operator enum abc time random re string json types inspect statistics warnings "
    "numbers fractions bisect heapq datetime logging einops packaging __future__".split()
)
NAME = "ga_slice"
sys.modules[NAME] = types.ModuleType(NAME)  # dataclasses looks up the module of the class that it decorates


class Importer(Protocol):
    """The globals of a slice, which know where its imports lead."""

    def imported_module(self, source: str, level: int) -> object: ...


def installed_name(path: Path, source: str, level: int) -> str:
    """The module that a relative import means in a copy of one file of an allowed package; "" if it is none."""
    parts = path.parts
    roots = [place for place, part in enumerate(parts[:-1]) if part in ALLOWED]
    if not level or not roots:
        return ""
    package = parts[roots[-1] : len(parts) - level]
    return ".".join([*package, source] if source else package) if package else ""


def member(module: object, name: str) -> object:
    """`from module import name`, also where the name is a module of a package."""
    if isinstance(module, types.ModuleType) and not hasattr(module, name):
        with contextlib.suppress(ImportError):
            return importlib.import_module(f"{module.__name__}.{name}")
    return getattr(module, name)


def _import(
    name: str, scope: Importer, _: object = None, wanted: Sequence[str] | None = None, level: int = 0
) -> object:
    """`__import__` for the imports that stand inside functions."""
    return scope.imported_module(name if wanted or level else name.split(".", maxsplit=1)[0], level)


class Os:
    """The `os` of a slice: an environment of one process, paths, and calls that do nothing."""

    path = posixpath
    name, sep, linesep = "posix", "/", "\n"

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.environ = _Environment()

    def getenv(self, name: str, default: object = None) -> object:
        return self.environ.get(name, default)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unknown(f"os.{name}", self._recorder)


class _Environment(dict[str, str]):
    def __init__(self) -> None:
        super().__init__(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", LOCAL_WORLD_SIZE="1")

    def __missing__(self, name: str) -> str:
        raise NotVerifiable(f"needs the environment variable {name}")


def _open(file: object, mode: str = "r", *_: object, **__: object) -> object:
    if any(letter in mode for letter in "wax+"):
        return io.BytesIO() if "b" in mode else io.StringIO()
    raise NotVerifiable(f"needs the file {file!r}")


def _leave(*_: object) -> None:
    raise NotVerifiable("needs code that does not end the program")


def _known_types(types_: Any) -> tuple[Any, ...]:
    """The classes that are there; an instance of a stand-in is none of them."""
    return tuple(t for each in (types_ if isinstance(types_, tuple) else (types_,)) for t in _classes(each))


def _classes(value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return _known_types(value)
    return () if isinstance(value, Unknown) else (value,)


BUILTINS: dict[str, object] = {**vars(builtins), "open": _open, "exit": _leave, "quit": _leave, "input": _leave}
BUILTINS["__import__"] = _import
BUILTINS.update(PASSAGES)
BUILTINS["isinstance"] = lambda value, types_: isinstance(value, _known_types(types_))
BUILTINS["print"] = lambda *_, **__: None


def compiled(node: ast.Module | ast.Expression, path: Path, mode: str) -> types.CodeType:
    """Code whose annotations are never evaluated."""
    flag = __future__.annotations.compiler_flag
    code = compile(ast.fix_missing_locations(node), str(path), mode, flags=flag, dont_inherit=True)
    assert isinstance(code, types.CodeType)
    return code
