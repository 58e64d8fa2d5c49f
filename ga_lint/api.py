"""How is ga-lint used from Python? Three functions, and what they can be told, re-exported by the package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ga_lint.config import ConfigFinder, Flags, Selection
from ga_lint.diagnostics import Diagnostic
from ga_lint.outcome import Report

__all__ = ["Flags", "Selection", "check_paths", "check_source", "fix_source"]


def check_paths(paths: Iterable[str | Path], flags: Flags | None = None, *, isolated: bool = False) -> Report:
    """Check files and folders as `ga-lint check` does. The report owns the outcomes and the exit code."""
    from ga_lint.engine.run import check

    return check([Path(path) for path in paths], ConfigFinder(flags, isolated=isolated))


def check_source(text: str, path: str | Path = "<string>", flags: Flags | None = None) -> list[Diagnostic]:
    """Check a text under the path that it would have; ValueError when it cannot be analysed."""
    from ga_lint.engine.run import check_text

    report = check_text(Path(path), text.encode(), ConfigFinder(flags))
    if report.failures:
        raise ValueError(report.failures[0].error)
    return report.diagnostics


def fix_source(
    text: str, path: str | Path = "<string>", flags: Flags | None = None, *, unsafe: bool = False
) -> tuple[str, list[Diagnostic]]:
    """Rewrite a text as `ga-lint fix --no-verify` does: the new text, and what is left. ValueError as above.

    Under a path that ends in `.ipynb` the text is a notebook's JSON.
    """
    from ga_lint.engine.fix import Policy, fix_text

    report = fix_text(Path(path), text.encode(), ConfigFinder(flags), Policy(unsafe=unsafe))
    if report.left.failures:
        raise ValueError(report.left.failures[0].error)
    return report.rewritten[0].after.on_disk.decode() if report.rewritten else text, report.left.diagnostics
