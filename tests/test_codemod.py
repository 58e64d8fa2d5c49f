"""Does a LibCST codemod run make the rewrites that `ga-lint fix` makes?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.fixtures import FIXTURES
from testbed.shell import HIT, environment, ga_lint, write

UNSAFE = (FIXTURES / "GA102-undivided-accumulation" / "fabric.py").read_text()
FILES: dict[str, str | bytes] = {
    "a.py": HIT,
    "b.py": UNSAFE,
    "crlf.py": b"\xef\xbb\xbf" + HIT.replace("\n", "\r\n").encode(),
    "latin.py": b"# coding: latin-1\n# \xe9\n" + HIT.encode("latin-1"),
    "clean.py": "print('loss.backward()')\n",
}


def codemod(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["-m", "libcst.tool", "codemod", "-x", "--no-format", "ga_lint.codemod.FixGradientAccumulation"]
    return subprocess.run(
        [sys.executable, *command, "-j", "1", "--hide-progress", *words, *FILES],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=120,
    )


@pytest.mark.parametrize("unsafe", [False, True])
def test_it_writes_what_fix_writes(unsafe: bool, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "fix", tmp_path / "codemod"
    for folder in (ours, theirs):
        write(folder, FILES)
    words = ["--unsafe-fixes"] if unsafe else []
    ga_lint("fix", "--no-verify", *words, cwd=ours)
    ran = codemod(theirs, *words)
    assert ran.returncode == 0, ran.stderr
    for name, content in FILES.items():
        new = (theirs / name).read_bytes()
        assert new == (ours / name).read_bytes(), name
        old = content.encode() if isinstance(content, str) else content
        assert (new != old) is (name != "clean.py" and (unsafe or name != "b.py")), name
    assert ("GA102 on line 17 not rewritten: it changes the gradient by intent" in ran.stderr) is not unsafe


def test_a_file_that_cannot_be_checked_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "a.py": HIT.replace("import", "# ga-lint: file-ignore\nimport", 1)})
    assert codemod(tmp_path).returncode == 0
    assert "file-ignore" in (tmp_path / "a.py").read_text()
