"""Which rules does a look at a file's bytes leave, and what is parsed nevertheless?"""

from __future__ import annotations

from pathlib import Path

from ga_lint.engine import run
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.prefilter import Prefilter
from ga_lint.facts.model import FORWARD_WORDS
from testbed.shell import BROKEN, ga_lint, write


def test_only_rules_whose_words_are_there() -> None:
    prefilter = Prefilter(known_rules())
    assert prefilter.possible(b"x = 1\n") == ()
    for rule in known_rules():
        for needle in rule.needles:
            assert rule in prefilter.possible(b"x = 1  # def forward(self, labels) " + needle)
    for needle in FORWARD_WORDS:
        assert prefilter.possible(b"x = 1  # labels, but no forward: " + needle) == ()


def test_a_small_tree_is_parsed_whole_and_a_named_file_always(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": BROKEN, "big.py": "#" * run.SMALL})
    large = ga_lint("check", cwd=tmp_path)
    assert (large.code, large.err) == (0, "2 files checked\n")
    assert ga_lint("check", "a.py", cwd=tmp_path).code == 1
    (tmp_path / "big.py").unlink()
    assert ga_lint("check", cwd=tmp_path).code == 1
