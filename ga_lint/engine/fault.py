"""How is an exception of our own told to the user: what broke, on which file, and where to report it?"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from ga_lint.resources import ISSUES_URL


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception, as the user reads it. Code that is nested too deeply is the file's fault, not ours."""

    text: str
    internal: bool

    @classmethod
    def of(cls, stage: str, error: Exception) -> Fault:
        """The fault of a stage: a rule's name, "reading the facts", "rewriting"."""
        if isinstance(error, RecursionError):
            return cls("nested too deeply to be analysed; exclude it", internal=False)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        text = f"internal error in {stage} ({what}, at {where}); please report it with this file: {ISSUES_URL}"
        return cls(text, internal=True)
