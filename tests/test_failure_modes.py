"""What happens when the settings, git or a baseline cannot be used? One clear line, and exit 2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ga_lint.cli.main import main
from testbed.shell import HIT, write

BELOW = "; nothing below it was checked"
ENTRY = '{"path": "a.py", "code": "GA1", "scope": "", "message": "", "confidence": "sure", "fingerprint": "x"}'


@dataclass(frozen=True)
class Mode:
    """One way to fail: what is laid down, what is typed, and the line that tells of it."""

    line: str  # its beginning
    words: str = ""
    files: tuple[tuple[str, str | bytes], ...] = ()
    git: tuple[str, ...] = ()  # commands before
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.words or self.line[:40]


def settings(text: str | bytes, line: str) -> Mode:
    return Mode(f"ga-lint.toml: {line}", files=(("ga-lint.toml", text),), name=str(text))


def baseline(text: str | bytes, line: str) -> Mode:
    return Mode(f"known.json: {line}", "--baseline known.json", (("known.json", text),), name=f"baseline {text[:50]!r}")


_SUMS = ("0 files checked, 1 skipped", "rewrote 0 findings")  # the lines that close every run
DAMAGED = "not a baseline, or a damaged one"
REMEDY = "; delete it and write a new one with --update-baseline"
COMMIT = ("init -q -b main", "add .", "commit -q -m x")
MODES = [
    settings("select = [", "not valid TOML: Invalid value (at end of document)"),
    settings(b"\xff", "not valid TOML: byte 1 is no UTF-8"),
    settings("selct = []", "[tool.ga-lint] has no key 'selct'; did you mean 'select'?"),
    settings("zzz = 1", "[tool.ga-lint] has no key 'zzz'; known are select, ignore, "),
    settings("select = 'GA1'", "tool.ga-lint.select must be a list of strings"),
    settings("ignore = ['GA999']", "no rule matches 'GA999'"),
    settings("select = ['mean-of-mean']", "no rule matches 'mean-of-mean'; did you mean 'mean-of-means'?"),
    settings("respect-gitignore = 1", "tool.ga-lint.respect-gitignore must be true or false"),
    settings("min-confidence = 'sure'", "tool.ga-lint.min-confidence must be one of possible, likely, certain"),
    settings("transformers-version = 'new'", "tool.ga-lint.transformers-version must be a release, as 4.53.3"),
    settings("per-file-ignores = []", "tool.ga-lint.per-file-ignores must be a table"),
    settings("[per-file-ignores]\na = 1", "tool.ga-lint.per-file-ignores.a must be a list of strings"),
    settings("[per-file-ignores]\na = ['GA999']", "no rule matches 'GA999'"),
    settings("[per-file-ignores]\n'[z-a]' = ['GA1']", "tool.ga-lint.per-file-ignores: '[z-a]' is no pattern (bad char"),
    settings("exclude = ['!']", "tool.ga-lint.exclude: '!' is no pattern; they are those of .gitignore"),
    settings("extend-exclude = ['a\\']", "tool.ga-lint.exclude: 'a\\\\' is no pattern; they are those of .gitignore"),
    settings("[knowledge.heads]", "tool.ga-lint.knowledge has no table 'heads'; known are losses, "),
    settings("[knowledge.losses.'a.b']\nlabels = true", "tool.ga-lint.knowledge.losses.'a.b'.labels must be a whole"),
    Mode("ga-lint.toml: cannot be read: Is a directory", files=(("ga-lint.toml/x", ""),), name="settings: a folder"),
    Mode("nowhere.toml: cannot be read: No such file or directory", "--config nowhere.toml"),
    Mode("p.toml: [tool.ga-lint] has no key", "--config p.toml", (("p.toml", "x = 1"),)),
    Mode("pyproject.toml: no [tool.ga-lint] table", "--config pyproject.toml", (("pyproject.toml", ""),)),
    Mode("--config and --isolated contradict each other", "--config p.toml --isolated"),
    Mode("no rule matches 'GA999'", "--select GA999"),
    Mode("--exclude: '[z-a]' is no pattern (bad character range z-a", "--exclude [z-a]"),
    Mode("--transformers-version must be a release", "--transformers-version newest"),
    Mode("--output takes FORMAT:FILE with one of full, ", "--output jsn:x"),
    Mode("--output: no/x cannot be written: no folder no", "--output json:no/x"),
    Mode("--output: d cannot be written: it is a folder", "--output json:d", (("d/x", ""),)),
    baseline("", f"{DAMAGED} (Expecting value: line 1 column 1 (char 0)){REMEDY}"),
    baseline(b"\xff\xfe", DAMAGED),
    baseline("[" * 99_999, f"{DAMAGED} (maximum recursion depth exceeded"),
    baseline("[]", f"{DAMAGED} (no version)"),
    baseline('{"version": 1}', f"{DAMAGED} (no list of findings)"),
    baseline('{"version": 1, "findings": {}}', f"{DAMAGED} (no list of findings)"),
    baseline('{"version": 1, "findings": [{"path": "a"}]}', f"{DAMAGED} (finding 1 must have path, code, scope, mess"),
    baseline(f'{{"version": 1, "findings": [{ENTRY}]}}', f"{DAMAGED} (finding 1 has a wrong value)"),
    baseline('{"version": 2}', "a baseline of version 2; this ga-lint reads version 1: use the ga-lint that wrote it"),
    Mode("known.json: no such baseline; write one with --update-baseline", "--baseline known.json"),
    Mode("d: cannot be read: Is a directory", "--baseline d", (("d/x", ""),)),
    Mode("--baseline: d cannot be written: it is a folder", "--baseline d --update-baseline", (("d/x", ""),)),
    Mode("--baseline: no/x cannot be written: no folder no", "--baseline no/x --update-baseline"),
    Mode("--update-baseline needs --baseline FILE", "--update-baseline"),
    Mode("--diff-base compares with git's history; this folder is in no git repository", "--diff-base main"),
    Mode("--diff-base: git knows no commit 'nowhere' here", "--diff-base nowhere", git=COMMIT),
    Mode("--diff-base: git knows no commit '--all' here", "--diff-base=--all", git=COMMIT),
    Mode("--diff-base: git knows no commit 'HEAD' here", "--diff-base HEAD", git=COMMIT[:1], name="no commit yet"),
    Mode(
        "--diff-base compares files with git's; this repository is bare",
        "--diff-base main",
        git=("init -q --bare .",),
        name="bare",
    ),
    Mode(
        "--diff-base: main and HEAD share no commit",
        "--diff-base main",
        git=(*COMMIT, "checkout -q --orphan other", "commit -q -m y"),
        name="no merge base",
    ),
    Mode(
        "--diff-base: main and HEAD share no commit; this clone is shallow: `git fetch --unshallow`, or ",
        "--diff-base main",
        git=(
            *COMMIT,
            "checkout -q -b topic",
            "commit -q --allow-empty -m y",
            "clone -q --depth 1 file://{here} clone",
            "-C clone fetch -q --depth 1 origin main:main",
        ),
        name="shallow",
    ),
]


def git(folder: Path, line: str) -> None:
    who = {f"GIT_{role}_{what}": "t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    words = line.format(here=folder).split()
    env = {**os.environ, **who, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, env=env)


Typed = Callable[[str, str], tuple[int, list[str]]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs a command in this process: the exit code and the lines on stderr but the closing one."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)

    def run(command: str, words: str) -> tuple[int, list[str]]:
        code = main([command, *words.split()])
        out, err = capsys.readouterr()
        assert out == ""
        return code, [line for line in err.splitlines() if not line.startswith(_SUMS)]

    return run


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("command", ["check", "fix"])
def test_one_line_and_exit_two(command: str, mode: Mode, typed: Typed, tmp_path: Path) -> None:
    if command == "fix" and "update" in mode.words:
        pytest.skip("`fix` has no such option")
    write(tmp_path, {"a.py": HIT, **dict(mode.files)})
    for line in mode.git:
        git(tmp_path, line)
    if (tmp_path / "clone").exists():
        os.chdir(tmp_path / "clone")
    words = f"{mode.words} --no-verify" if command == "fix" else mode.words
    code, lines = typed(command, f"{words} a.py")
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"error: {mode.line}")
    if mode.name and "toml" in mode.line:
        assert lines[0].endswith(BELOW)
    assert (tmp_path / "a.py").read_text() == HIT


def test_no_git(typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": HIT})
    monkeypatch.setenv("PATH", "/nowhere")
    line = "error: --diff-base needs git, which is not installed"
    assert typed("check", "--diff-base main a.py") == (2, [line])


@pytest.mark.parametrize(
    ("flag", "words"), [("--output", "--output json:d/x"), ("--baseline", "--baseline d/x --update-baseline")]
)
def test_no_permission(flag: str, words: str, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so that it may not is pretended."""
    write(tmp_path, {"a.py": HIT, "d/y": ""})
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path("d") or mode != os.W_OK)
    line = f"error: {flag}: d/x cannot be written: permission denied"
    assert typed("check", f"{words} a.py") == (2, [line])


def test_what_git_passes_over_in_a_gitignore_file_is_passed_over(typed: Typed, tmp_path: Path) -> None:
    write(tmp_path, {"a.py": HIT, "b.py": HIT, ".gitignore": "[z-a]\n!\na.py\n"})
    git(tmp_path, "init -q")
    assert main(["check", "--show-files", "."]) == 0
