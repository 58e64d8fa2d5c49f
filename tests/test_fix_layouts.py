"""Does a rewrite depend on how a file is laid out? Every fixture that is rewritten, in other clothes."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ga_lint.config import Config
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Failed
from ga_lint.project import Project
from ga_lint.source import UTF8_BOM, decode
from ga_lint.syntax.comments import comments
from testbed.expectations import without_markers
from testbed.fixtures import Fixture, all_fixtures
from testbed.mutation import mutants

EVERY = [fixture for fixture in all_fixtures() if fixture.path.stat().st_size]
REWRITTEN = [fixture for fixture in EVERY if fixture.fixed.exists()]


def fixed(fixture: Fixture, data: bytes) -> bytes:
    """What the file would be after `ga-lint fix --unsafe-fixes --no-verify`, had it held these bytes."""
    scope = Scope(Config(root=fixture.project), Project(fixture.project))
    outcome, rewriting = fix_bytes(fixture.path, data, scope, Policy(unsafe=True, write=False), whole=True)
    assert not (isinstance(outcome, Failed) and outcome.internal), outcome
    return data if rewriting is None else rewriting.after.data


def plain(fixture: Fixture) -> str:
    return without_markers(fixture.path.read_text(encoding="utf-8"))


def plain_fixed(fixture: Fixture) -> str:
    """What tests/test_fixtures.py holds that the rewrite of the plain text is."""
    return without_markers(fixture.fixed.read_text(encoding="utf-8"))


# Several at once, for every fixture: what is wrong in one of them is wrong beside the others too.
ANOTHER_FUNCTION = "\n\ndef other():\n    steps, targets, torch = 1, 2, 3\n"
IN_LATIN = "# coding: latin-1\n# \xe9t\xe9\n"
FOR_TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import itertools\n    import torch\n\n"


def _form_feeds(text: str) -> str:
    return re.sub(r"\n\n\n(?=class |def |@)", "\n\n\f\n", text)


def _of_windows(text: str) -> bytes:
    """A byte-order mark, CRLF, form feeds, and another function that uses the names that a rewrite does."""
    return UTF8_BOM + (_form_feeds(text) + ANOTHER_FUNCTION).replace("\n", "\r\n").encode()


def _of_old(text: str) -> bytes:
    """Latin-1, imports that only types need, and no newline at the end."""
    return f"{IN_LATIN}{_below_docstring(text, FOR_TYPES)}".rstrip("\n").encode("latin-1", "replace")


def _below_docstring(text: str, more: str) -> str:
    first = ast.parse(text).body[0]
    lines = text.splitlines(keepends=True)
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    row = (first.end_lineno or 0) if is_docstring else 0
    return "".join([*lines[:row], "\n" if row else "", more, *lines[row:]])


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_lines_that_end_otherwise_and_form_feeds(fixture: Fixture) -> None:
    dressed, wanted = _of_windows(plain(fixture)), _of_windows(plain_fixed(fixture))
    after = fixed(fixture, dressed)
    assert after.count(b"\f") == dressed.count(b"\f")  # a definition that is inserted gets none
    assert after.replace(b"\f", b"") == wanted.replace(b"\f", b"")


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_another_encoding_imports_for_types_and_no_final_newline(fixture: Fixture) -> None:
    """A new import finds another place among the others."""
    after = fixed(fixture, _of_old(plain(fixture)))
    assert _same_statements(after, _of_old(plain_fixed(fixture)))
    assert after.startswith(IN_LATIN.encode("latin-1"))
    assert not after.endswith(b"\n")


def _same_statements(one: bytes, other: bytes) -> bool:
    """In any order; a docstring is indented as its file is."""
    texts = ([ast.unparse(each).expandtabs(4) for each in ast.parse(data).body] for data in (one, other))
    return len({frozenset(Counter(each).items()) for each in texts}) == 1


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_tabs(fixture: Fixture) -> None:
    """Where a line is broken may differ: a tab is one column."""
    tabbed = fixed(fixture, _tabbed(plain(fixture)).encode())
    assert _same_statements(tabbed, plain_fixed(fixture).encode())
    assert not re.search(rb"(?m)^ {4}\w", tabbed)


def _tabbed(text: str) -> str:
    return re.sub(r"(?m)^(?: {4})+", lambda indent: "\t" * (len(indent.group()) // 4), text)


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_names_that_are_taken_keep_their_meaning(fixture: Fixture) -> None:
    """Whatever a rewrite introduces is a builtin or a global of the module already, and is read in every function."""
    text = plain(fixture)
    new = sorted(_bound(plain_fixed(fixture)) - _bound(text) - {"torch", "itertools", "dist", "num_items_in_batch"})
    if not new:  # what tests/test_fixtures.py holds is all there is to its rewrite
        _holds(fixture, text.encode(), plain_fixed(fixture).encode())
        return
    taken = text + "".join(f"\n\n{name} = 1\n" for name in new)
    after = fixed(fixture, taken.encode())
    _holds(fixture, taken.encode(), after)
    for name in new:
        assert f"\n{name} = 1\n" in after.decode()
    assert after != taken.encode()  # other names are found


def _bound(text: str) -> set[str]:
    """Every name that the text binds, at any depth; attributes and parameters are none."""
    found = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and _is_store(node)}
    kinds = (ast.FunctionDef, ast.ClassDef)
    return found | {node.name for node in ast.parse(text).body if isinstance(node, kinds)}


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_inside_another_function(fixture: Fixture) -> None:
    """Not every rule looks into nested functions; what is rewritten there must hold all the same."""
    nested = "def outer():\n" + "".join(f"    {line}" if line.strip() else line for line in _lines(plain(fixture)))
    _holds(fixture, nested.encode(), fixed(fixture, nested.encode()))


def _lines(text: str) -> Iterator[str]:
    yield from text.splitlines(keepends=True)
    yield "    pass\n".lstrip(" ")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(EVERY), st.integers(0, 2**32), st.integers(1, 4))
def test_mutated_code_is_rewritten_soundly_or_not_at_all(fixture: Fixture, seed: int, count: int) -> None:
    data = mutants(fixture.path.read_text(encoding="utf-8"), seed, count).encode()
    _holds(fixture, data, fixed(fixture, data))


def _holds(fixture: Fixture, before: bytes, after: bytes) -> None:
    """It compiles, keeps every comment and every other line, and a second run changes nothing."""
    if after == before:
        return
    compile(after, "after.py", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    old, new = (decode(Path("a.py"), data) for data in (before, after))
    assert {comment.text for comment in comments(old)} <= {comment.text for comment in comments(new)}
    assert fixed(fixture, after) == after
