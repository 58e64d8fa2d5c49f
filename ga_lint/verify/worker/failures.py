"""How is it told that the user's code failed? By the expression that did, or the stand-in that led it astray."""

from __future__ import annotations

import ast
import contextlib
import linecache
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.stand_ins import Recorder

_LONGEST = 60
_HAS_ROW = re.compile(r"\bline \d+|:\d+\)")


def described(error: BaseException, path: str) -> str:
    """What went wrong, in one line, and at which line of the user's code."""
    text = str(error) if isinstance(error, NotVerifiable) else f"{type(error).__name__}: {str(error)[:160]}"
    return f"{text}{_place(_their_frames(error, path))}"


def missing(error: BaseException, path: str, recorder: Recorder, row: int) -> str:
    """`needs X: what happened (file:line)`; the site's own row where no line of the code was running."""
    frames = _their_frames(error, path)
    here = f" ({Path(path).name}:{row})"
    if isinstance(error, NotVerifiable):
        return f"{error}{_place(frames) or ('' if _HAS_ROW.search(str(error)) else here)}"
    text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}".removesuffix(": ")
    if not frames:
        return f"needs code that runs here: {text}{here}"
    subject = _subject(error, frames[-1], recorder)
    return f"needs {subject}: {text}{_place(frames)}"


def gives_up(error: BaseException) -> bool:
    """Whether the user's code itself says that it cannot go on, or meets a name that no branch has given a value."""
    frames = _their_frames(error, "")
    told = bool(frames) and (frames[-1].line or "").strip().startswith(("raise ", "assert "))
    return isinstance(error, Exception) and (told or isinstance(error, UnboundLocalError))


def known_text(path: str, text: str) -> None:
    """Expressions are quoted from this text, which need not be the one on the disk."""
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)


def _their_frames(error: BaseException, path: str) -> list[traceback.FrameSummary]:
    """The frames of the user's code, outermost first; those of the site's own file if there are any."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".py")]
    own = str(Path(__file__).parent)
    theirs = [
        f
        for f in frames
        if not f.filename.startswith(own) and "site-packages" not in f.filename and "/lib/python" not in f.filename
    ]
    return [f for f in theirs if f.filename == path] or theirs


def _place(frames: Sequence[traceback.FrameSummary]) -> str:
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _subject(error: BaseException, frame: traceback.FrameSummary, recorder: Recorder) -> str:
    """What the code wanted: a stand-in that was taken as false before it gave up, else the expression that failed."""
    expression = (frame.line or "").strip()[:_LONGEST] if "to unpack" in str(error) else _expression(frame)
    gave_up = expression.startswith(("raise ", "assert ")) or isinstance(error, AssertionError | UnboundLocalError)
    if gave_up and recorder.tested:
        return f"`{recorder.tested}`"
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return f"the item `{error.args[0]}`"
    return f"`{expression}`" if expression else "code that runs here"


def _expression(frame: traceback.FrameSummary) -> str:
    """The text of the failing expression, on one line and not too long."""
    first, last = frame.lineno, frame.end_lineno
    if first is None or last is None or frame.colno is None or frame.end_colno is None:
        return (frame.line or "").strip()[:_LONGEST]
    lines = [linecache.getline(frame.filename, row).encode() for row in range(first, last + 1)]
    if not all(lines):
        return ""
    lines[-1] = lines[-1][: frame.end_colno]
    lines[0] = lines[0][frame.colno :]
    text = " ".join(line.decode(errors="replace").strip() for line in lines)
    with contextlib.suppress(SyntaxError):
        text = ast.unparse(ast.parse(text, mode="eval"))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
