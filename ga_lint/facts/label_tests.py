"""Where does code ask which labels do not count, `labels == -100`, and where does it count the others?"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from ga_lint.diagnostics import Step
from ga_lint.facts.model import LossSite
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.repeatable import SAME_ELEMENTS
from ga_lint.syntax.text import last_name, text_of

if TYPE_CHECKING:
    from ga_lint.project import Project

_IGNORE = re.compile(r"ignore", re.IGNORECASE)
_SUMS = ("sum", "count_nonzero")


def tests_on_the_way(site: LossSite, parsed: ParsedFile, project: Project) -> tuple[Step, ...]:
    """The first test in a function on the way to the loss."""
    for path, span in ((site.call.path, site.call.span), *((step.path, step.span) for step in site.via)):
        home = parsed if path == parsed.path else project.file(path)
        if home is None:
            continue
        around = [one for one in home.find(ast.FunctionDef) if home.span_of(one).contains(span)]
        for node in home.find(ast.Compare, around[-1]) if around else ():
            if tests_labels(node):
                return (Step("labels of -100 do not count", path, home.span_of(node)),)
    return ()


def counts_around(site: LossSite, parsed: ParsedFile) -> tuple[Step, ...]:
    """The first count in the function of this file that holds the loss: of the batches that its loop runs over."""
    if site.call.path != parsed.path or site.scope.endswith("forward"):  # a model counts what it is handed, if need be
        return ()
    around = [one for one in parsed.find(ast.FunctionDef) if parsed.span_of(one).contains(site.call.span)]
    for node in parsed.find(ast.Call, around[-1]) if around else ():
        if counts_labels(node):
            return (Step("the targets of each batch are counted", parsed.path, parsed.span_of(node)),)
    return ()


def tests_labels(node: ast.AST) -> bool:
    """`batch["labels"] != -100`: some of a sample's targets do not count, so it has many."""
    match node:
        case ast.Compare(left=left, comparators=[ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=100))]):
            return "label" in text_of(left).lower()
    return False


def counts_labels(node: ast.AST) -> bool:
    """`(batch["labels"] != -100).sum()`: who counts the targets of each batch does not find as many in each."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr=name), args=[counted, *_]) if name in _SUMS:
            return tests_labels(counted) or _tests_by_name(counted)
        case ast.Call(func=ast.Attribute(value=counted, attr=name)) if name in _SUMS:
            counted = _same_elements(counted)
            return tests_labels(counted) or _tests_by_name(counted)
    return False


def _tests_by_name(node: ast.AST) -> bool:
    """`labels != IGNORE_INDEX`: such a setting may never occur in the labels; that it is counted says that it does."""
    match node:
        case ast.Compare(left=left, comparators=[ast.Name() | ast.Attribute() as other]):
            return "label" in text_of(left).lower() and bool(_IGNORE.search(last_name(other)))
    return False


def _same_elements(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAME_ELEMENTS:
        node = node.func.value
    return node
