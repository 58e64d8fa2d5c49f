"""Does the library say what the command line says?"""

from __future__ import annotations

from pathlib import Path

import pytest

import ga_lint
from ga_lint.config import Flags, Selection
from testbed.shell import BROKEN, HIT, write


def test_check_paths(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": HIT, "b.py": BROKEN, "c.py": "x = 1\n"})
    report = ga_lint.check_paths([tmp_path])
    assert [d.finding.code for d in report.diagnostics] == ["GA103", "GA001"]
    assert report.exit_code == 1
    only = ga_lint.check_paths([tmp_path], Flags(Selection(select=("GA001",))), isolated=True)
    assert [d.finding.code for d in only.diagnostics] == ["GA001"]


def test_check_source_takes_imports_from_beside_its_path(tmp_path: Path) -> None:
    assert [d.finding.code for d in ga_lint.check_source(HIT, tmp_path / "x.py")] == ["GA103"]
    with pytest.raises(ValueError, match="null bytes"):
        ga_lint.check_source("\0")


def test_fix_source(tmp_path: Path) -> None:
    text, left = ga_lint.fix_source(HIT, tmp_path / "x.py")
    assert "/= cfg.accum" not in text
    assert left == []
    assert ga_lint.fix_source(text, tmp_path / "x.py") == (text, [])


def test_other_names_are_missing() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ga_lint.nonsense  # noqa: B018
