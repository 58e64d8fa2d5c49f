"""Is it Python, as far as the Python that runs this can tell?"""

from __future__ import annotations

import ast
import contextlib
import sys

from ga_lint.grammar.fstrings import as_before_312
from ga_lint.source import unremarked

_READS_ALL_FSTRINGS = sys.version_info >= (3, 12)


def tree_of(text: str, name: str = "<unknown>") -> ast.Module:
    """The tree, with each node where it stands in the text; the errors are those of `ast.parse`."""
    with unremarked():
        try:
            return ast.parse(text, name)
        except SyntaxError:
            if not _READS_ALL_FSTRINGS:
                with contextlib.suppress(SyntaxError):
                    return ast.parse(as_before_312(text), name)
            raise


def readable(text: str) -> str:
    """The text, or what says the same to this Python where it cannot read it as it is."""
    if _READS_ALL_FSTRINGS:
        return text
    try:
        with unremarked():
            ast.parse(text)
    except SyntaxError:
        return as_before_312(text)
    return text
