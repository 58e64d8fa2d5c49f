"""How does a test ask for a rewrite? By the text of the places, on code that it writes out in full."""

from __future__ import annotations

import ast
from pathlib import Path

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.errors import FixNotApplicable
from ga_lint.fixers import rewrite
from ga_lint.source import SourceFile, Span, decode
from ga_lint.syntax.parsed import ParsedFile, parse

PATH = Path("train.py")


def source_of(text: str) -> SourceFile:
    return decode(PATH, text.encode())


def span_of(parsed: ParsedFile, text: str, nth: int = 0) -> Span:
    """The nth node whose text this is; a `for`, `while` or `def` by the start of its first line."""
    found: dict[Span, None] = {}
    for node in ast.walk(parsed.tree):
        if hasattr(node, "lineno") and _is(parsed, node, text):
            found.setdefault(parsed.span_of(node))
    return sorted(found)[nth]


def _is(parsed: ParsedFile, node: ast.AST, text: str) -> bool:
    whole = ast.get_source_segment(parsed.source.text, node) or ast.unparse(node)
    return whole.startswith(text) if isinstance(node, ast.For | ast.While | ast.FunctionDef) else whole == text


def request(
    text: str | SourceFile, fixer: str, options: dict[str, str] | None = None, **places: str | list[str]
) -> FixRequest:
    """A request for `fixer` with the places given by their text; several places of one role as a list."""
    parsed = parse(source_of(text) if isinstance(text, str) else text)
    targets = []
    for role, texts in places.items():
        for index, each in enumerate([texts] if isinstance(texts, str) else texts):
            nth = texts[:index].count(each) if isinstance(texts, list) else 0
            targets.append((role, span_of(parsed, each, nth)))
    return FixRequest(fixer, FixTier.UNSAFE, "rewrite it", tuple(targets), tuple((options or {}).items()))


def rewritten(text: str, fixer: str, options: dict[str, str] | None = None, **places: str | list[str]) -> str:
    """The text after the rewrite."""
    return rewrite(source_of(text), request(text, fixer, options, **places)).text


def refusal(text: str, fixer: str, options: dict[str, str] | None = None, **places: str | list[str]) -> str:
    """Why the rewrite is refused."""
    try:
        result = rewritten(text, fixer, options, **places)
    except FixNotApplicable as reason:
        return str(reason)
    raise AssertionError(f"not refused:\n{result}")
