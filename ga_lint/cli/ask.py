"""`--ask`: does the user want this rewrite?"""

from __future__ import annotations

import enum
from pathlib import Path

from ga_lint.cli import console
from ga_lint.engine.fix_file import Trial
from ga_lint.engine.write import patch
from ga_lint.report.text import shown
from ga_lint.source import Part


class _Answer(enum.Enum):
    YES = "y"
    NO = "n"
    ALL = "all"
    QUIT = "quit"


_HELP = "y: this one; n: not this one; all: this and every one after it; quit: none of the rest (default: n)"
_BY_WORD = {word: answer for answer in _Answer for word in (answer.value, answer.value[0], answer.name.lower())}


class Asker:
    """Shows each rewrite as a diff and asks; `all` and `quit` answer for those that follow."""

    def __init__(self, *, color: bool) -> None:
        self._color = color
        self._for_the_rest: bool | None = None

    def __call__(self, trial: Trial, verdict: str) -> bool:
        """`verdict` is what the numeric check says, empty where it was not asked."""
        if self._for_the_rest is None:
            self._show(trial, verdict)
            answer = _read()
            if answer in (_Answer.ALL, _Answer.QUIT):
                self._for_the_rest = answer is _Answer.ALL
            return answer in (_Answer.YES, _Answer.ALL)
        return self._for_the_rest

    def _show(self, trial: Trial, verdict: str) -> None:
        finding, path = trial.finding, trial.before.path
        part = trial.before.part_of(finding.span.start.row)
        row = finding.span.start.row - part.rows_above
        console.write(f"\n{shown(_name(path, part))}:{row}: {finding.code} {shown(finding.message)}\n")
        for old, new in zip(trial.before.parts, trial.after.parts, strict=True):
            diff = patch(_name(path, old), old.shown.encode(), new.shown.encode())
            console.write_patch(diff, color=self._color)
        tier = finding.fix.tier.value if finding.fix is not None else ""
        console.write(f"{', '.join(part for part in (tier, verdict) if part)}\n")
        for note in trial.notes:
            console.write(f"{shown(note)}\n")


def _name(path: Path, part: Part) -> str:
    """A notebook's JSON is not for reading, so each cell is shown as a text of its own."""
    return path.as_posix() if part.cell is None else f"{path.as_posix()}:cell {part.cell}"


def _read() -> _Answer:
    while True:
        try:
            word = input("Rewrite it? [y/n/all/quit] ").strip().lower()
        except EOFError:
            console.write("\n")
            return _Answer.QUIT
        if not word:
            return _Answer.NO
        if word in _BY_WORD:
            return _BY_WORD[word]
        console.write(f"{_HELP}\n")
