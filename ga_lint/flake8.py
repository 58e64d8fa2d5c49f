"""How does ga-lint run inside flake8? As its plugin `GA`, under the project's own ga-lint settings."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ga_lint import __version__
from ga_lint.config import Flags
from ga_lint.engine.held import Checker, held
from ga_lint.outcome import Failed, Found

NOT_ANALYSED = "GA000"  # flake8 has no other way to say that a file was not looked at
_STDIN = ("stdin", "-")

Report = tuple[int, int, str, type["Plugin"]]  # row from 1, column from 0, text


class Options(Protocol):
    """What of flake8's own options concerns us."""

    disable_noqa: bool


class Plugin:
    """One file in flake8. A syntax error is flake8's own E999, since no plugin is asked about such a file."""

    name = "ga-lint"
    version = __version__
    _flags = Flags()

    def __init__(self, tree: ast.AST, filename: str, lines: list[str]) -> None:  # noqa: ARG002 - flake8 asks by name
        """`tree` is what makes this a plugin for whole files; how flake8 has parsed them is of no use to us."""
        self._source = held(Path("-" if filename in _STDIN else filename), "".join(lines))

    @classmethod
    def parse_options(cls, options: Options) -> None:
        """Who looks behind `# noqa` looks behind our own comments too."""
        cls._flags = Flags(ignore_suppressions=options.disable_noqa)

    def run(self) -> Iterator[Report]:
        """Every finding of `ga-lint check`, at the same place."""
        if self._source.path.suffix == ".pyi":
            return
        outcome, _ = _checker(self._flags)(self._source)
        if isinstance(outcome, Failed):
            yield 1, 0, f"{NOT_ANALYSED} could not be analysed: {outcome.error}", type(self)
        for diagnostic in outcome.diagnostics if isinstance(outcome, Found | Failed) else ():
            finding, start = diagnostic.finding, diagnostic.finding.span.start
            yield start.row, start.column - 1, f"{finding.code} [{finding.name}] {finding.message}", type(self)


@functools.cache
def _checker(flags: Flags) -> Checker:
    """One for all files of a process, so that nothing is read twice."""
    return Checker(flags)
