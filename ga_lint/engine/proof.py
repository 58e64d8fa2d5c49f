"""Is a rewrite safe to write? Everything that can be checked without running it, checked in production, every time."""

from __future__ import annotations

import ast
import builtins
import functools
import re
import symtable
from collections import Counter
from collections.abc import Callable, Sequence

from ga_lint.diagnostics import Finding
from ga_lint.engine.order import Order
from ga_lint.engine.own_rules import UNUSED_SUPPRESSION
from ga_lint.errors import FixNotApplicable
from ga_lint.fixers import Rewrite
from ga_lint.grammar import readable, tree_of
from ga_lint.source import SourceFile, unremarked
from ga_lint.syntax.comments import comments

Check = Callable[[SourceFile], Sequence[Finding]]
# A sum of means that somebody divides is a mean of means: the gradients are as large as they should be, and what is
# still wrong with the weights is reported in its place.
_MILDER = {"GA102": "GA101"}
_WORD = re.compile(r"\w+")


def prove(before: SourceFile, rewrite: Rewrite, finding: Finding, found: Sequence[Finding], check: Check) -> SourceFile:
    """The rewritten file, or FixNotApplicable with the first thing about it that does not hold.

    `found` is what `check` says about `before`.
    """
    after = before.rewritten(rewrite.text)
    with unremarked():
        _compiles(after)
        if finding.code != UNUSED_SUPPRESSION.code:  # there the comment is what goes
            _comments_kept(before, after)
        _only_there(before, after, rewrite)
        _no_collision(before, after)
        _every_name_known(before, after)
        _bound_in_time(before, after)
    _gone_and_nothing_new(finding, found, check(after))
    return after


def _compiles(after: SourceFile) -> None:
    try:
        for part in after.parts:
            compile(
                readable(part.code), str(after.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FixNotApplicable(f"the rewrite would not compile: {error}") from None


def _comments_kept(before: SourceFile, after: SourceFile) -> None:
    old, new = _comments_of(before), _comments_of(after)
    if lost := old - new:
        raise FixNotApplicable(f"the rewrite would lose a comment: {min(lost)}")


def _only_there(before: SourceFile, after: SourceFile, rewrite: Rewrite) -> None:
    """Every line that the fixer did not mean to change is still there, in order, with its line end."""
    meant = {row for span in rewrite.touched for row in range(span.start.row, span.end.row + 1)}
    old, rest = before.ended_lines(), iter(after.ended_lines())
    open_end = not before.text.endswith(("\n", "\r"))
    for row, line in enumerate(old, 1):
        if row in meant or not line.strip():
            continue
        if not any(_same(line, new, open_end) for new in rest):
            raise FixNotApplicable(f"the rewrite would also change line {row}")


def _same(old: str, new: str, open_end: bool) -> bool:
    """Equal; where the last line has no end, it may have got one with something below it, or another may be last."""
    if old == new:
        return True
    ended, ends = (each.endswith(("\n", "\r")) for each in (old, new))
    return open_end and ended is not ends and old.rstrip("\r\n") == new.rstrip("\r\n")


def _no_collision(before: SourceFile, after: SourceFile) -> None:
    """A name that becomes new in a scope must not have meant something else there."""
    old, new = _scopes(before), _scopes(after)
    unread = frozenset(_WORD.findall(before.unread))
    for scope, (bound, _) in new.items():
        known, used = old.get(scope, (frozenset(), frozenset()))
        if scope in old and (taken := (bound - known) & (used | unread)):
            raise FixNotApplicable(f"the name {min(taken)} is in use already")


def _every_name_known(before: SourceFile, after: SourceFile) -> None:
    """A name that the rewrite reads must mean something where it is read."""
    if strangers := _unbound(after) - _unbound(before):
        raise FixNotApplicable(f"the name {min(strangers)} would mean nothing there")


# A file's rewrites are proved one after the other, each on the text that the last one left or on the same as that.
_of_both_texts = functools.lru_cache(maxsize=2)


@_of_both_texts
def _comments_of(source: SourceFile) -> Counter[str]:
    return Counter(comment.text.rstrip() for comment in comments(source))


@_of_both_texts
def _symbols(source: SourceFile) -> symtable.SymbolTable:
    return symtable.symtable(readable(source.text), str(source.path), "exec")


@_of_both_texts
def _order(source: SourceFile) -> Order:
    return Order.of(tree_of(source.text))


@_of_both_texts
def _unbound(source: SourceFile) -> frozenset[str]:
    """What is read as a global that the module does not bind."""
    module = _symbols(source)
    read: set[str] = set()
    bound = {"__file__", *dir(builtins)}

    def walk(table: symtable.SymbolTable) -> None:
        top = table is module
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if symbol.is_assigned() or symbol.is_imported():
                bound.update([name] if top or symbol.is_declared_global() else [])
            if symbol.is_referenced() and symbol.is_global():
                read.add(name)
        for child in table.get_children():
            walk(child)

    walk(module)
    return frozenset(read - bound)


@_of_both_texts
def _scopes(source: SourceFile) -> dict[tuple[str, ...], tuple[frozenset[str], frozenset[str]]]:
    """For each function, class and the module: the names that it binds, and those that it or its inner scopes read."""
    scopes: dict[tuple[str, ...], tuple[frozenset[str], frozenset[str]]] = {}

    def walk(table: symtable.SymbolTable, outer: tuple[str, ...]) -> frozenset[str]:
        symbols = table.get_symbols()
        bound = frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_parameter() or s.is_imported())
        used = frozenset(s.get_name() for s in symbols if s.is_referenced())
        seen: Counter[str] = Counter()
        for child in table.get_children():
            seen[child.get_name()] += 1
            used |= walk(child, (*outer, f"{child.get_name()}.{seen[child.get_name()]}"))
        scopes[outer] = bound, used
        return used - bound if table.get_type() == "function" else used

    walk(_symbols(source), ())
    return scopes


def _bound_in_time(before: SourceFile, after: SourceFile) -> None:
    """What is new at the module's level stands above every use; what was there is not used above it by a line there."""
    was, now = _order(before), _order(after)
    new = {name for name, row in now.bound.items() if name not in was.bound and now.used.get(name, row) < row}
    for name in sorted(new | (now.early - was.early)):
        raise FixNotApplicable(f"{name} would be used above the line that binds it")


def _gone_and_nothing_new(finding: Finding, found: Sequence[Finding], left: Sequence[Finding]) -> None:
    """By rule and scope: one fewer of this kind, and no more of any other but the milder fault of the same loss."""
    was, now = _kinds(found), _kinds(left)
    kind = (finding.code, finding.scope)
    if now[kind] >= was[kind]:
        raise FixNotApplicable(f"{finding.code} would still be reported")
    milder = Counter({(_MILDER[code], scope): 1 for code, scope in [kind] if code in _MILDER})
    for code, scope in now - was - milder:
        raise FixNotApplicable(f"the rewrite would bring {code} in {scope or 'the module'}")


def _kinds(findings: Sequence[Finding]) -> Counter[tuple[str, str]]:
    return Counter((finding.code, finding.scope) for finding in findings)
