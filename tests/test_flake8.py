"""Does flake8 say what `ga-lint check` says, through the entry point that it finds by itself?"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from testbed.expectations import without_markers
from testbed.fixtures import FIXTURES
from testbed.shell import BROKEN, HIT, environment, ga_lint, write

pytest.importorskip("flake8")
SAMPLE = sorted(FIXTURES.glob("GA[12]0*/*.py"))[::12]
WIDE = HIT.replace("            loss /= cfg.accum", "            '𝛁损'; loss /= cfg.accum")


def flake8(folder: Path, *words: str, stdin: str = "") -> list[str]:
    """The lines that flake8 prints of our codes and of its own E9."""
    done = subprocess.run(
        [sys.executable, "-m", "flake8", "--isolated", "--select=GA,E9", "--jobs=1", *words],
        cwd=folder,
        input=stdin,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not done.stderr, done.stderr
    assert done.returncode == bool(done.stdout)
    return sorted(line.removeprefix("./") for line in done.stdout.splitlines())


def test_the_entry_point_is_installed() -> None:
    """An installation older than the entry point would make every other test here say nothing."""
    found = [entry.value for entry in entry_points(group="flake8.extension") if entry.name == "GA"]
    assert set(found) == {"ga_lint.flake8:Plugin"}, "install the project again: pip install -e '.[dev]'"


def test_the_same_findings_at_the_same_places(tmp_path: Path) -> None:
    files = {f"{path.parent.name}/{path.name}": without_markers(path.read_text()) for path in SAMPLE}
    write(tmp_path, {**files, "wide.py": WIDE, "build/excluded.py": HIT, "stub.pyi": HIT})
    words = ["--output-format", "concise"]
    expected = ga_lint("check", *words, cwd=tmp_path).out.splitlines()
    assert len({line.split()[1] for line in expected}) > 5
    assert flake8(tmp_path, ".", "stub.pyi") == sorted(expected)


def test_the_projects_settings_hold_and_both_kinds_of_comment(tmp_path: Path) -> None:
    ours, theirs = (
        HIT.replace("  # expect: GA103", comment) for comment in ("  # ga-lint: ignore[GA103]", "  # noqa: GA103")
    )
    settings = '[tool.ga-lint.per-file-ignores]\n"off/**" = ["ALL"]\n'
    write(tmp_path, {"pyproject.toml": settings, "off/a.py": HIT, "ours.py": ours, "theirs.py": theirs})
    assert flake8(tmp_path) == []
    assert [line.split(":")[0] for line in flake8(tmp_path, "--disable-noqa")] == ["ours.py", "theirs.py"]


def test_a_text_on_stdin(tmp_path: Path) -> None:
    (found,) = json.loads(ga_lint("check", "--output-format", "json", "-", cwd=tmp_path, stdin=HIT.encode()).out)
    place = f"{found['location']['row']}:{found['location']['column']}: {found['code']} "
    assert flake8(tmp_path, "-", stdin=HIT)[0].startswith(f"stdin:{place}")
    assert flake8(tmp_path, "--stdin-display-name=pkg/x.py", "-", stdin=HIT)[0].startswith(f"pkg/x.py:{place}")
    write(tmp_path, {"ga-lint.toml": 'extend-exclude = ["pkg"]\n'})
    assert flake8(tmp_path, "--stdin-display-name=pkg/x.py", "-", stdin=HIT) == []


def test_what_cannot_be_analysed_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"broken.py": BROKEN, "sub/ga-lint.toml": "selct = []\n", "sub/a.py": HIT, "b.py": HIT})
    hit, syntax, settings = flake8(tmp_path)
    assert " E999 SyntaxError" in syntax
    assert settings.startswith("sub/a.py:1:1: GA000 could not be analysed: sub/ga-lint.toml: [tool.ga-lint] has no key")
    assert " GA103 " in hit
