"""Does a rewrite depend on how a file is laid out? Every fixture that is rewritten, in other clothes."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
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
Layout = Callable[[str], bytes]


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


LAYOUTS: dict[str, Layout] = {
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "byte-order mark": lambda text: UTF8_BOM + text.encode(),
    "latin-1": lambda text: f"# coding: latin-1\n# \xe9t\xe9\n{text}".encode("latin-1", "replace"),
    "form feeds": lambda text: re.sub(r"\n\n\n(?=class |def |@)", "\n\n\f\n", text).encode(),
    "imports for types": lambda text: _below_docstring(
        text, "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import itertools\n    import torch\n\n"
    ).encode(),
    "another function": lambda text: f"{text}\n\ndef other():\n    steps, targets, torch = 1, 2, 3\n".encode(),
}


def _below_docstring(text: str, more: str) -> str:
    first = ast.parse(text).body[0]
    lines = text.splitlines(keepends=True)
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    row = (first.end_lineno or 0) if is_docstring else 0
    return "".join([*lines[:row], "\n" if row else "", more, *lines[row:]])


# Every second one of a fixture's layouts, in turn: a rule's rewrites meet all of them.
DRESSED = [(fixture, layout) for number, fixture in enumerate(REWRITTEN) for layout in [*LAYOUTS][number % 2 :: 2]]


@pytest.mark.parametrize(("fixture", "layout"), DRESSED, ids=str)
def test_the_rewrite_is_the_same_in_every_layout(fixture: Fixture, layout: str) -> None:
    text = plain(fixture)
    dressed, wanted = LAYOUTS[layout](text), LAYOUTS[layout](plain_fixed(fixture))
    after = fixed(fixture, dressed)
    if layout == "imports for types":  # a new import finds another place among them
        assert _same_statements(after, wanted)
    elif layout == "form feeds":  # a definition that is inserted gets none
        assert after.count(b"\f") == dressed.count(b"\f")
        assert after.replace(b"\f", b"") == wanted.replace(b"\f", b"")
    else:
        assert after == wanted


def _same_statements(one: bytes, other: bytes) -> bool:
    """In any order; a docstring is indented as its file is."""
    texts = ([ast.unparse(each).expandtabs(4) for each in ast.parse(data).body] for data in (one, other))
    return len({frozenset(Counter(each).items()) for each in texts}) == 1


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_no_final_newline_and_tabs(fixture: Fixture) -> None:
    text, after = plain(fixture), plain_fixed(fixture)
    assert fixed(fixture, text.rstrip("\n").encode()).decode().rstrip("\n") == after.rstrip("\n")
    tabbed = fixed(fixture, _tabbed(text).encode())  # where a line is broken may differ: a tab is one column
    assert _same_statements(tabbed, after.encode())
    assert not re.search(rb"(?m)^ {4}\w", tabbed)


def _tabbed(text: str) -> str:
    return re.sub(r"(?m)^(?: {4})+", lambda indent: "\t" * (len(indent.group()) // 4), text)


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_names_that_are_taken_keep_their_meaning(fixture: Fixture) -> None:
    """Whatever a rewrite introduces is a builtin or a global of the module already, and is read in every function."""
    text = plain(fixture)
    new = sorted(_bound(plain_fixed(fixture)) - _bound(text) - {"torch", "itertools", "dist", "num_items_in_batch"})
    taken = text + "".join(f"\n\n{name} = 1\n" for name in new)
    after = fixed(fixture, taken.encode())
    _holds(fixture, taken.encode(), after)
    for name in new:
        assert f"\n{name} = 1\n" in after.decode()
    assert not new or after != taken.encode()  # other names are found


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
