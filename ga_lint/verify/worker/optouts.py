"""Has this trainer's class told the Trainer not to count, for certain or in some runs only?"""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Iterator

from ga_lint.verify.worker.loop_self import ancestry
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.reading.calls import conditions
from ga_lint.verify.worker.reading.sources import Function, Module, dotted, last

_OF_RELEASES = re.compile(r"^hasattr\(self|version", re.IGNORECASE)  # whether the installed Trainer knows the flag
_FLAG = "model_accepts_loss_kwargs"


class OptOut(enum.Enum):
    """What the class and those below it that can be read set `model_accepts_loss_kwargs` to."""

    NO = "no"
    YES = "yes"
    MAYBE = "maybe"  # under a condition, or to a value that is not known here


def opt_out(space: Namespace, owner: ast.ClassDef) -> OptOut:
    """The nearest class that says something decides, as its `__init__` runs last."""
    for place, node in ancestry(space, owner):
        settings = [_setting(place.module, each, value) for each, value in _assigned(node)]
        if settings:
            return settings[-1] if len(set(settings)) == 1 else OptOut.MAYBE
    return OptOut.NO


def _assigned(owner: ast.ClassDef) -> Iterator[tuple[ast.stmt, ast.expr]]:
    """The statements of the class that set the flag, outside of what the Trainer calls later on."""
    for method in owner.body:
        if isinstance(method, Function) and method.name == "__init__":
            for node in ast.walk(method):
                if isinstance(node, ast.Assign) and last(dotted(node.targets[0])) == _FLAG:
                    yield node, node.value


def _setting(module: Module, statement: ast.stmt, value: ast.expr) -> OptOut:
    tests = [ast.unparse(test) for test, wanted in conditions(module, statement) if wanted]
    is_sure = isinstance(value, ast.Constant) and all(map(_OF_RELEASES.search, tests))
    if not is_sure:
        return OptOut.MAYBE
    return OptOut.NO if getattr(value, "value", None) else OptOut.YES
