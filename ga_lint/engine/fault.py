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
        _pass_on_interrupt(error)
        if isinstance(error, RecursionError):
            return cls("nested too deeply to be analysed; exclude it", internal=False)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        words = " ".join(str(error).split())
        words = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}..."
        what = f"{type(error).__name__}: {words}" if words else type(error).__name__
        text = f"internal error in {stage} ({what}, at {where}); please report it with this file: {ISSUES_URL}"
        return cls(text, internal=True)


def _pass_on_interrupt(error: BaseException) -> None:
    """End the run if this exception only hides Ctrl-C: code that tidies up after it may raise another one instead."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        cause = cause.__context__
