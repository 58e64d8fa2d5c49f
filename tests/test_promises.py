"""Does `check` speak of a rewrite only where `fix` writes it?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.config import ConfigFinder
from ga_lint.engine import propose
from ga_lint.engine.check_file import check_source
from ga_lint.engine.finish import SHORT, Wanted
from ga_lint.engine.run import check
from ga_lint.engine.scope import Scope
from ga_lint.outcome import FileOutcome
from ga_lint.source import SourceFile
from testbed.shell import HIT, ga_lint, write

_SKIPS = """\
import torch.nn.functional as F


def train(model, loader, optimizer, accumulation_steps):
    for step, (x, y) in enumerate(loader):
        if not len(x):
            continue
        loss = F.cross_entropy(model(x), y, ignore_index=-100) / accumulation_steps
        loss.backward()
        if (step + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
_REASON = "a `continue` can leave micro-batches out of their window (line 7)"


@pytest.mark.parametrize("words", [["skips.py"], ["-"]], ids=["file", "stdin"])
def test_what_fix_would_refuse_is_told_by_check(tmp_path: Path, words: list[str]) -> None:
    write(tmp_path, {"skips.py": _SKIPS})
    told = ga_lint("check", "--isolated", "--no-cache", *words, cwd=tmp_path, stdin=_SKIPS.encode())
    assert f"  no rewrite: {_REASON}\n" in told.out
    assert "fix (" not in told.out
    assert told.out.endswith("Found 1 finding (1 warning).\n")


def test_what_fix_writes_is_promised(tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT, "skips.py": _SKIPS})
    told = ga_lint("check", "--isolated", "--no-cache", cwd=tmp_path)
    assert told.out.count("  fix (safe): ") == 1
    assert told.out.endswith(" `ga-lint fix` can rewrite 1.\n")


def test_a_cached_finding_promises_no_more(tmp_path: Path) -> None:
    write(tmp_path, {"skips.py": _SKIPS})
    first, second = (ga_lint("check", "--isolated", cwd=tmp_path) for _ in range(2))
    assert first.out == second.out
    assert _REASON in second.out


def test_what_a_baseline_knows_is_no_new_finding_of_the_rewrite(tmp_path: Path) -> None:
    write(tmp_path, {"both.py": _SKIPS})
    ga_lint("check", "--isolated", "--no-cache", "--baseline", "known.json", "--update-baseline", cwd=tmp_path)
    write(tmp_path, {"both.py": _SKIPS + HIT})
    told = ga_lint("check", "--isolated", "--no-cache", "--baseline", "known.json", cwd=tmp_path)
    assert told.out.endswith("Found 1 finding (1 error). `ga-lint fix` can rewrite 1.\n")


def test_long_files_are_not_tried(tmp_path: Path) -> None:
    long = HIT + "# " + SHORT // 2 * "-" + "\n"
    write(tmp_path, {f"hit_{number}.py": long for number in range(2)})
    told = ga_lint("check", "--isolated", "--no-cache", cwd=tmp_path)
    assert told.out.endswith(" `ga-lint fix` can try to rewrite 2.\n")


def test_annotations_promise_no_more(tmp_path: Path) -> None:
    write(tmp_path, {"skips.py": _SKIPS})
    told = ga_lint("check", "--isolated", "--no-cache", "--output-format", "github", cwd=tmp_path)
    assert "GA101" in told.out
    assert "fix (" not in told.out


def test_no_file_is_looked_at_again_for_its_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"hit.py": HIT})
    texts: list[str] = []

    def checked(source: SourceFile, *rest: Scope) -> FileOutcome:
        texts.append(source.text)
        return check_source(source, *rest)

    monkeypatch.setattr(propose, "check_source", checked)
    report = check([tmp_path], ConfigFinder(isolated=True), Wanted(plans=True))
    assert report.diagnostics[0].edits
    assert texts, "the rewritten text has to be looked at"
    assert HIT not in texts
