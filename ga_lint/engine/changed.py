"""Which lines have changed since a revision? Asked of git, from the merge base on; any place of a finding counts."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ga_lint.diagnostics import Diagnostic
from ga_lint.engine.known import Analysed
from ga_lint.engine.scope import Scope
from ga_lint.errors import UsageError
from ga_lint.outcome import Clean

_HUNK = re.compile(rb"@@ -\d+(?:,\d+)? \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")
_SETTINGS = ("-c", "core.quotePath=true", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false")


class ChangedLines:
    """The lines of the working tree that differ from where this branch left `revision`."""

    def __init__(self, revision: str, folder: Path) -> None:
        top = _top(folder)
        self._top = os.path.realpath(os.fsdecode(top))
        base = _merge_base(revision, folder)
        self._tracked = set(_git(Path(self._top), "ls-files", "-z").split(b"\0"))
        patch = _git(Path(self._top), "diff", "-U0", "-M", "--no-color", "--no-ext-diff", "--no-textconv", base, "--")
        self._rows = dict(_changed_rows(patch))

    def among(self, outcome: Analysed, _scope: Scope) -> frozenset[str]:
        found = () if isinstance(outcome, Clean) else outcome.diagnostics
        return frozenset(diagnostic.fingerprint for diagnostic in found if not self._touches(diagnostic))

    def _touches(self, diagnostic: Diagnostic) -> bool:
        """Whether any place of the finding (the loss, the division, the step) has changed."""
        places = [(diagnostic.path, diagnostic.finding.span, diagnostic.cell)]
        places += [(step.path, step.span, step.cell) for step in diagnostic.finding.trace]
        return any(self._changed(path, range(s.start.row, s.end.row + 1), cell) for path, s, cell in places)

    def _changed(self, path: Path, rows: range, cell: int | None) -> bool:
        name = os.fsencode(os.path.relpath(os.path.realpath(path), self._top)).replace(os.sep.encode(), b"/")
        if name not in self._tracked:
            return True  # new, or in another repository: nobody can say that it was there before
        changed = self._rows.get(name, frozenset())
        return bool(changed) if cell is not None else not changed.isdisjoint(rows)


def _top(folder: Path) -> bytes:
    if _run(folder, "rev-parse", "--is-bare-repository").stdout.strip() == b"true":
        raise UsageError("--diff-base compares files with git's; this repository is bare, it has no files")
    try:
        return _git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n")
    except UsageError as error:
        if "not a git repository" in str(error):
            raise UsageError("--diff-base compares with git's history; this folder is in no git repository") from None
        raise


def _merge_base(revision: str, folder: Path) -> str:
    if revision.startswith("-") or not _succeeds(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        raise UsageError(f"--diff-base: git knows no commit {revision!r} here{_shallow_hint(folder)}")
    try:
        return _git(folder, "merge-base", revision, "HEAD").decode().strip()
    except UsageError:
        raise UsageError(f"--diff-base: {revision} and HEAD share no commit{_shallow_hint(folder)}") from None


def _shallow_hint(folder: Path) -> str:
    if _git(folder, "rev-parse", "--is-shallow-repository").strip() != b"true":
        return ""
    return "; this clone is shallow: `git fetch --unshallow`, or `fetch-depth: 0` for actions/checkout"


def _changed_rows(patch: bytes) -> Iterator[tuple[bytes, frozenset[int]]]:
    """Each file's new name and changed rows; of lines that are gone, their neighbours."""
    for part in re.split(rb"^(?=diff --git )", patch, flags=re.MULTILINE):
        name = re.search(rb"^\+\+\+ (?P<name>.*?)\t?$", part, re.MULTILINE)
        if name is None:
            continue
        rows: set[int] = set()
        for hunk in _HUNK.finditer(part, name.end()):
            first, count = int(hunk["first"]), int(hunk["count"] or 1)
            rows.update(range(first, first + count) if count else (first, first + 1))
        yield _unquoted(name["name"]).removeprefix(b"b/"), frozenset(rows)


def _unquoted(name: bytes) -> bytes:
    """git quotes odd names as C does."""
    if not name.startswith(b'"'):
        return name
    value = ast.literal_eval("b" + name.decode("ascii"))
    assert isinstance(value, bytes)
    return value


def _succeeds(folder: Path, *words: str) -> bool:
    return _run(folder, *words).returncode == 0


def _git(folder: Path, *words: str) -> bytes:
    done = _run(folder, *words)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"git {words[0]} failed"]
        raise UsageError(f"--diff-base: git: {lines[0].removeprefix('fatal: ')}")
    return done.stdout


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["git", *_SETTINGS, *words], cwd=folder, capture_output=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise UsageError("--diff-base needs git, which is not installed") from None
