"""Which rules are there?"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.diagnostics import Finding, Severity

if TYPE_CHECKING:
    from ga_lint.facts.model import FileFacts
    from ga_lint.project import Project

Check = Callable[["FileFacts", "Project"], Iterator[Finding]]


class Rule(Struct, frozen=True):
    """A rule's record; `check` yields what it finds in the facts of one file."""

    code: str
    name: str
    summary: str
    severity: Severity
    needles: tuple[bytes, ...]  # a file without any of these bytes cannot have this finding
    check: Check

    def __str__(self) -> str:
        return f"{self.code} [{self.name}]"


_RULES: dict[str, Rule] = {}


def rule(
    code: str, name: str, summary: str, *, severity: Severity, needles: tuple[bytes, ...]
) -> Callable[[Check], Check]:
    """Register the decorated generator as the rule `code`."""

    def register(check: Check) -> Check:
        if code in _RULES and _RULES[code].check.__module__ != check.__module__:
            raise ValueError(f"two modules define {code}")
        _RULES[code] = Rule(code, name, summary, severity, needles, check)
        return check

    return register


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule in order of its code."""
    package = importlib.import_module("ga_lint.rules")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_RULES[code] for code in sorted(_RULES))
