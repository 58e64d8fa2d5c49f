"""What is left out to be fast: rules by their words, bodies, calls that gave the same before. Does nothing change?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from ga_lint.config import Config
from ga_lint.diagnostics import Confidence
from ga_lint.engine.check_file import check_bytes
from ga_lint.engine.scope import Scope
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.repeated import Results
from ga_lint.facts.values import Function
from ga_lint.project import Project
from ga_lint.source import decode
from ga_lint.syntax.parsed import parse
from testbed.fixtures import FIXTURES, all_fixtures, diagnostics
from testbed.said import recorded, said

BY_RULE = {
    name: list(ones) for name, ones in groupby(all_fixtures(), lambda one: one.path.relative_to(FIXTURES).parts[0])
}


@pytest.mark.parametrize("rule", BY_RULE)
def test_fixtures_say_the_same(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short cuts are taken, the third is not: what is recorded was said by every rule, of whole files, and calls
    that gave the same before were not followed again."""
    monkeypatch.setattr(Results, "of", lambda _, run, *call: run.activate(*call))
    for fixture in BY_RULE[rule]:
        scope = Scope(Config(root=fixture.project, min_confidence=Confidence.POSSIBLE), Project(fixture.project))
        outcome = check_bytes(fixture.path, fixture.path.read_bytes(), scope, whole=False)
        assert said(fixture, diagnostics(outcome)) == recorded(fixture), fixture


def followed(text: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """How often a function is followed when `main` is."""
    count = 0
    activate: Callable[..., object] = Interpreter.activate

    def counted(run: Interpreter, function: object, *rest: object) -> object:
        nonlocal count
        count += getattr(function.node, "name", "") == name  # type: ignore[attr-defined]
        return activate(run, function, *rest)

    monkeypatch.setattr(Interpreter, "activate", counted)
    parsed = parse(decode(tmp_path / "a.py", text.encode()))
    project = Project(tmp_path)
    project.add(parsed)
    with Interpreter(project, project.knowledge) as run:
        main = next(one for one in parsed.functions() if one.name == "main")
        run.run_function(Function(main, run.names.module(parsed)))
    return count


HELPER = "def f(x, y=0):\n    return x"
METHOD = "class A:\n    def f(self):\n        return 1"
# What `f` gives while `g` runs, which is then left out in it, is not what it gives elsewhere.
EACH_OTHER = "def f(x):\n    return g(x)\n\ndef g(x):\n    return f(x)\n\ndef k(x):\n    return f(x)"
CLOSED = "def g():\n    def f():\n        return z\n    z = 1\n    f()\n    z = 2\n    return f()"


@pytest.mark.parametrize(
    ("helper", "lines", "times"),
    [
        (HELPER, ["f(3)", "f(3)"], 1),
        (HELPER, ["f(3)", "f(4)"], 2),
        (HELPER, ["f(1)", "f(True)", "f(1.0)"], 3),
        (HELPER, ["f(3)", "f(3, 1)"], 2),
        (HELPER, ["f([1])", "f([1])"], 1),
        (HELPER, ["f([1])", "f([True])", "f((1, 1))"], 3),
        (HELPER, ["f(3)", "for i in range(2):", "    f(3)", "    f(3)"], 2),
        (METHOD, ["a = A()", "a.f()", "a.f()"], 1),
        (METHOD, ["A().f()", "A().f()"], 1),
        ("def f(x):\n    x.backward()", ["f(loss)", "f(loss)"], 2),
        ("def f(x):\n    return f(x - 1)", ["f(3)", "f(3)"], 2),
        (EACH_OTHER, ["g(3)", "k(3)"], 3),
        (CLOSED, ["g()"], 2),
    ],
)
def test_what_is_followed_once(
    helper: str, lines: list[str], times: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = "\n".join(f"    {line}" for line in lines)
    assert followed(f"{helper}\n\n\ndef main(loss):\n{body}\n", "f", monkeypatch, tmp_path) == times
