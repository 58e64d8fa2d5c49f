"""Is an exception told so that a user can report it, and does Ctrl-C end the run whatever became of it?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from msgspec.structs import replace

from ga_lint.config import Config
from ga_lint.diagnostics import Finding
from ga_lint.engine.check_file import check_source
from ga_lint.engine.fault import Fault
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Failed
from ga_lint.project import Project
from ga_lint.source import decode
from testbed.shell import HIT


def test_it_says_what_broke_and_where() -> None:
    with pytest.raises(KeyError) as caught:
        {}["count"]
    fault = Fault.of("GA101", caught.value)
    assert fault.internal
    assert "internal error in GA101 (KeyError: 'count', at test_fault.py:" in fault.text


def test_a_long_text_is_one_line_and_cut() -> None:
    tree = cst.parse_module("if loss:\n" + "    loss = loss / 4\n" * 20)
    assert len(str(KeyError(tree))) > 10_000
    with pytest.raises(KeyError) as caught:
        {}[tree]
    text = Fault.of("rewriting", caught.value).text
    assert len(text) < 500
    assert "\n" not in text


def test_code_nested_too_deeply_is_not_our_fault() -> None:
    assert not Fault.of("rewriting", RecursionError()).internal


def test_what_hides_that_is_not_either() -> None:
    """LibCST's `finally` again: it looks up a node that nobody can print, so deep is it."""

    class Deep:
        def __repr__(self) -> str:
            raise RecursionError

    def left() -> None:
        try:
            raise RecursionError
        finally:
            {}[Deep()]

    with pytest.raises(KeyError) as caught:
        left()
    assert not Fault.of("rewriting", caught.value).internal


def test_what_hides_an_interrupt_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """LibCST's `finally` looks up what it had not yet written when Ctrl-C came, and raises a KeyError."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cst.Integer, "_codegen_impl", interrupted)
    tree = cst.parse_module("while loss:\n    loss = loss / 4\n    loss.backward()\n")
    with pytest.raises(KeyError) as caught:
        MetadataWrapper(tree).resolve(PositionProvider)
    with pytest.raises(KeyboardInterrupt):
        Fault.of("rewriting", caught.value)


def test_a_rule_that_breaks_hides_no_other() -> None:
    """Its file has not been checked by every rule, so it is a failure; what the others found is told all the same."""

    def broken(*_: object) -> Iterator[Finding]:
        raise KeyError("count")

    rules = [replace(rule, check=broken) if rule.code == "GA101" else rule for rule in known_rules()]
    scope = Scope(Config(root=Path()), Project(Path()))
    outcome = check_source(decode(Path("train.py"), HIT.encode()), scope, rules)
    assert isinstance(outcome, Failed) and outcome.internal
    assert "internal error in GA101 [mean-of-means] (KeyError: 'count'" in outcome.error
    assert [each.finding.code for each in outcome.diagnostics] == ["GA103"]
