"""Is a file ever left half written, or changed in more than its text?"""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ga_lint.engine import write
from ga_lint.engine.write import patch, write_back, write_whole
from ga_lint.errors import SourceError
from ga_lint.source import SourceFile, decode, read_source

OLD, NEW = b"x = 1\n", b"x = 2  # changed\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_bytes(OLD)
    return path


def rewrite(path: Path, data: bytes = NEW) -> None:
    write_back(read_source(path), decode(path, data))


def test_the_new_text_is_there_and_nothing_else(file: Path) -> None:
    rewrite(file)
    assert file.read_bytes() == NEW
    assert os.listdir(file.parent) == ["train.py"]


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o664])
def test_the_mode_stays(file: Path, mode: int) -> None:
    file.chmod(mode)
    rewrite(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_symbolic_link_stays_one(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link.py"
    link.symlink_to(file)
    rewrite(link)
    assert link.is_symlink()
    assert file.read_bytes() == NEW


def test_hard_links_stay_linked(file: Path) -> None:
    other = file.with_name("other.py")
    os.link(file, other)
    rewrite(file)
    assert other.read_bytes() == NEW
    assert file.samefile(other)


def test_a_shorter_text_leaves_no_tail_in_a_hard_link(file: Path) -> None:
    os.link(file, file.with_name("other.py"))
    rewrite(file, b"x\n")
    assert file.read_bytes() == b"x\n"


def test_a_file_that_changed_meanwhile_is_named_and_left(file: Path) -> None:
    before = read_source(file)
    file.write_bytes(b"x = 3\n")
    with pytest.raises(SourceError, match="changed on disk"):
        write_back(before, decode(file, NEW))
    assert file.read_bytes() == b"x = 3\n"


def test_a_file_that_is_gone_is_named(file: Path) -> None:
    before = read_source(file)
    file.unlink()
    with pytest.raises(SourceError, match="could not be written: No such file"):
        write_back(before, decode(file, NEW))
    assert not file.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_read_only_file_is_left(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(SourceError, match="not writable"):
        rewrite(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_takes_no_new_files(file: Path) -> None:
    file.parent.chmod(0o555)
    try:
        rewrite(file)
    finally:
        file.parent.chmod(0o755)
    assert file.read_bytes() == NEW


FULL_DISK = """
import resource, sys
from pathlib import Path
from ga_lint.engine.write import write_back
from ga_lint.errors import SourceError
from ga_lint.source import decode, read_source
path = Path(sys.argv[1])
before = read_source(path)
after = decode(path, sys.argv[2].encode())
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    write_back(before, after)
except SourceError as error:
    print(error)
"""


@pytest.mark.parametrize("linked", [False, True], ids=["renamed", "hard link"])
@pytest.mark.parametrize("text", ["x = 12345678\n", "x\n"], ids=["longer", "shorter"])
def test_a_full_disk_leaves_the_file_as_it_was(file: Path, tmp_path: Path, linked: bool, text: str) -> None:
    assert hasattr(resource, "RLIMIT_FSIZE")
    if linked:
        os.link(file, file.with_name("other.py"))
    names = sorted(os.listdir(file.parent))
    environment = os.environ | {"PYTHONPATH": str(Path(write.__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(file), text], capture_output=True, text=True, env=environment, check=True
    )
    assert "could not be written" in done.stdout
    assert file.read_bytes() == OLD
    assert sorted(os.listdir(file.parent)) == names


@pytest.mark.parametrize("linked", [False, True], ids=["renamed", "hard link"])
def test_an_interrupt_leaves_the_file_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    if linked:
        os.link(file, file.with_name("other.py"))
    real, names = os.fsync, sorted(os.listdir(file.parent))
    calls = iter([KeyboardInterrupt] if not linked else [None, KeyboardInterrupt, None])

    def interrupted(handle: int) -> None:
        failure = next(calls, None)
        if failure is not None:
            raise failure
        real(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rewrite(file)
    assert file.read_bytes() == OLD
    assert sorted(os.listdir(file.parent)) == names


PATCHES = {
    "plain": (b"a\nb\nc\n", b"a\nB\nc\n"),
    "CRLF": (b"a\r\nb\r\nc\r\n", b"a\r\nB\r\nc\r\n"),
    "no newline before": (b"a\nb", b"a\nb\n"),
    "no newline after": (b"a\nb\n", b"a\nb"),
    "no newline at all": (b"a\nb", b"a\nc"),
    "latin-1": (
        "# -*- coding: latin-1 -*-\n# \xe9\nx\n".encode("latin-1"),
        "# -*- coding: latin-1 -*-\n# \xe9\ny\n".encode("latin-1"),
    ),
    "BOM": (b"\xef\xbb\xbfx\n", b"\xef\xbb\xbfy\n"),
    "form feed and line separators": ("a\n\x0c\nb = '\u2028\x1c'\n".encode(), "a\n\x0c\nc = '\u2028\x1c'\n".encode()),
    "lone carriage returns": (b"a\rb\rc\n", b"a\rB\rc\n"),
}


@pytest.mark.parametrize("name", ["train.py", "my folder/tr\xe4in.py"])
@pytest.mark.parametrize(("before", "after"), PATCHES.values(), ids=PATCHES)
def test_git_applies_the_patch(tmp_path: Path, name: str, before: bytes, after: bytes) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(before)
    text = patch(name, before, after)
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"],
        input=text,
        cwd=tmp_path,
        capture_output=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, (done.stderr, text)
    assert path.read_bytes() == after


def test_a_patch_shows_no_line_that_stays() -> None:
    """A line that a long file holds often is a line like any other."""
    step = "    def step(self):\n        self.data = data\n        return self.data\n\n"
    before = "".join(f"class Part{number}:\n{step}" for number in range(80))
    after = before.replace("class Part7:\n", "class Part7:\n    flag = False\n").replace("Part70", "Part700")
    changed = [line for line in patch("x.py", before.encode(), after.encode()).splitlines() if line[:1] in b"+-"]
    assert changed[2:] == [b"+    flag = False", b"-class Part70:", b"+class Part700:"]


def test_no_patch_where_nothing_differs() -> None:
    same: SourceFile = decode(Path("x.py"), OLD)
    assert patch("x.py", same.data, same.data) == b""


@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_a_file_of_our_own_that_has_another_name_stays_one(tmp_path: Path, make: Callable[..., None]) -> None:
    (tmp_path / "known.json").write_bytes(OLD)
    make(tmp_path / "known.json", tmp_path / "other.json")
    write_whole(tmp_path / "other.json", NEW)
    assert (tmp_path / "known.json").read_bytes() == NEW
    assert sorted(os.listdir(tmp_path)) == ["known.json", "other.json"]


def test_a_new_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "known.json", NEW)
    assert os.listdir(tmp_path) == []
