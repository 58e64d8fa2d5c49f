"""How is an exception of our own told to the user: what broke, on which file, and where to report it?"""

from __future__ import annotations

import traceback
from pathlib import Path

from msgspec import Struct

from ga_lint.resources import ISSUES_URL

_LONGEST = 200  # characters of an exception's own text: LibCST puts whole trees into its KeyErrors


class Fault(Struct, frozen=True):
    """An exception, as the user reads it. Code that is nested too deeply is the file's fault, not ours."""

    text: str
    internal: bool

    @classmethod
    def of(cls, stage: str, error: Exception) -> Fault:
        """The fault of a stage: a rule's name, "reading the facts", "rewriting"."""
        if _hides(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if _hides(error, RecursionError):
            return cls("nested too deeply to be analysed; exclude it", internal=False)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        words = " ".join(str(error).split())
        words = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
        what = f"{type(error).__name__}: {words}" if words else type(error).__name__
        text = f"internal error in {stage} ({what}, at {where}); please report it with this file: {ISSUES_URL}"
        return cls(text, internal=True)


def _hides(error: BaseException, kind: type[BaseException]) -> bool:
    """Is it one of this kind, or what code that tidies up after one has raised instead? Ctrl-C has to end the run."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kind):
            return True
        cause = cause.__context__
    return False
