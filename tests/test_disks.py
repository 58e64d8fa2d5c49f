"""What becomes of files on a disk that is full, read-only, or changed by others meanwhile? On real ones."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ga_lint.config import ConfigFinder
from ga_lint.engine import look
from ga_lint.engine.run import check
from ga_lint.engine.write import write_whole
from ga_lint.outcome import Failed, Found
from testbed.fixtures import ROOT
from testbed.shell import HIT, Ran, environment, write

pytestmark = pytest.mark.xdist_group("disks")  # what is set up once stays in one process

# In a mount namespace of its own, which goes with the process: nothing is left to be unmounted.
_MOUNTING = ("unshare", "--user", "--map-root-user", "--mount", "bash", "-euc")
_SETUP = """
mount -t tmpfs -o size=64k tmpfs disk
cp -a files/. disk/
cd disk
{prepare}
set +e
{command} > ../out 2> ../err
echo $? > ../code
cd ..
mkdir after
cp -a disk/. after/
"""
FULL = "head -c 1M /dev/zero > fill 2> /dev/null || true"
READ_ONLY = "mount -o remount,ro tmpfs ."


@functools.cache
def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    line = "mount -t tmpfs -o size=64k tmpfs /mnt"
    return subprocess.run([*_MOUNTING, line], capture_output=True, check=False).returncode == 0


class Disk:
    """A small one of its own, for one command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "disk").mkdir()

    def run(self, prepare: str, words: str, files: Mapping[str, str | bytes]) -> tuple[Ran, dict[str, bytes]]:
        """How the command ended, and the files afterwards."""
        write(self._folder / "files", files)
        script = _SETUP.format(prepare=prepare, command=f"'{sys.executable}' -m ga_lint {words}")
        alone = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([*_MOUNTING, script], cwd=self._folder, env=alone, check=True, timeout=120)
        code, out, err = ((self._folder / name).read_text() for name in ("code", "out", "err"))
        assert "Traceback" not in out + err
        after = self._folder / "after"
        found = {str(path.relative_to(after)): path.read_bytes() for path in after.rglob("*") if path.is_file()}
        found.pop("fill", None)
        return Ran(int(code), out, err), found


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    if not may_mount():
        pytest.skip("this process may not mount a disk of its own")
    return Disk(tmp_path)


FILES: Mapping[str, str | bytes] = {
    "a.py": HIT,
    "b/c.py": HIT,
    "k.json": b'{"version": 1, "findings": []}',
    "out.json": b"[1]",
}
BYTES = {name: text.encode() if isinstance(text, str) else text for name, text in FILES.items()}
LEFT = "could not be written: No space left on device; left as it was"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("check --no-cache", ""),
        ("check", ""),
        ("fix --no-verify .", f"error: b/c.py: {LEFT}"),
        ("check --no-cache --add-ignore=old", f"error: a.py: {LEFT}"),
        ("check --no-cache --output json:out.json", "--output: out.json cannot be written: No space left on device"),
        ("check --no-cache --output json:new.json", "--output: new.json cannot be written: No space left on device"),
        ("check --no-cache --baseline k.json --update-baseline", "k.json: cannot be written: No space left on device"),
    ],
)
def test_a_full_disk(disk: Disk, words: str, line: str) -> None:
    ran, after = disk.run(FULL, words, FILES)
    assert line in ran.err
    assert ran.code == (2 if line else 1)
    assert "a.py:18:" in ran.out or "baseline" in words
    assert after == BYTES  # nothing is lost, and nothing half written lies about


@pytest.mark.parametrize("words", ["check", "fix --no-verify ."])
def test_a_read_only_tree(disk: Disk, words: str) -> None:
    ran, after = disk.run(READ_ONLY, words, FILES)
    fixing = words.startswith("fix")
    assert ran.err.count("Read-only file system; left as it was") + ran.err.count("not writable") == 2 * fixing
    assert ran.code == (2 if fixing else 1)
    assert after == BYTES


@pytest.mark.parametrize("linked", [False, True], ids=["alone", "hard link"])
def test_a_file_of_ours_is_replaced_as_a_whole(tmp_path: Path, linked: bool) -> None:
    file, other = tmp_path / "k.json", tmp_path / "other.json"
    file.write_bytes(b"old")
    file.chmod(0o640)
    if linked:
        os.link(file, other)
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert not linked or other.read_bytes() == b"new"
    write_whole(tmp_path / "fresh.json", b"new")
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "fresh.json").stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes among its files")
def test_a_report_may_go_into_a_pipe(tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT})
    os.mkfifo(tmp_path / "pipe")
    words = f"'{sys.executable}' -m ga_lint check --no-cache -q --output json:pipe > /dev/null & cat pipe"
    done = subprocess.run(["bash", "-c", words], cwd=tmp_path, env=environment(), capture_output=True, timeout=60)
    assert json.loads(done.stdout)[0]["code"] == "GA103"


def test_a_file_that_goes_while_it_is_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {f"{name}.py": HIT for name in "abc"})
    read = look.read_bytes

    def late(path: Path) -> bytes:
        if path.name == "b.py":
            path.unlink()
        return read(path)

    monkeypatch.setattr(look, "read_bytes", late)
    a, b, c = check([tmp_path], ConfigFinder(isolated=True)).outcomes
    assert isinstance(a, Found)
    assert isinstance(b, Failed)
    assert (b.path.name, b.error, b.internal) == ("b.py", "no such file", False)
    assert isinstance(c, Found)


def test_a_file_that_changes_after_it_was_read_is_told_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines shown are those that were judged; a cache that was filled meanwhile would not know the new ones."""
    write(tmp_path, {"a.py": HIT})
    read = look.read_bytes

    def early(path: Path) -> bytes:
        data = read(path)
        path.write_text("x = 1\n")
        return data

    monkeypatch.setattr(look, "read_bytes", early)
    (outcome,) = check([tmp_path], ConfigFinder(isolated=True)).outcomes
    assert isinstance(outcome, Found)
    assert outcome.diagnostics[0].source_line in HIT.splitlines()


def test_runs_at_once_share_a_cache_folder(tmp_path: Path) -> None:
    write(tmp_path, {f"f{number}.py": HIT for number in range(30)})
    command = [sys.executable, "-m", "ga_lint", "check", "--isolated", "--output-format", "json"]
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    runs = [
        subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = {run.communicate(timeout=120) for run in runs}
    assert len(said) == 1
    assert {run.returncode for run in runs} == {1}
    assert len(json.loads(said.pop()[0])) == 30
    names = sorted(path.name for path in (tmp_path / ".ga_lint_cache").iterdir())
    assert names[0] == ".gitignore"
    assert len(names) == 2
