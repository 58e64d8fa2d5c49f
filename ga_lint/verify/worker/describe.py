"""How is an error told? In one line, with the line of the user's code that it came from."""

from __future__ import annotations

import traceback
from pathlib import Path

from ga_lint.verify.job import Job
from ga_lint.verify.worker.ends import NotVerifiable


def describe(error: BaseException, job: Job) -> str:
    """What went wrong, and at which line of the user's code."""
    text = str(error) if isinstance(error, NotVerifiable) else f"{type(error).__name__}: {str(error)[:160]}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".py")]
    own = str(Path(__file__).parent)
    theirs = [f for f in frames if not f.filename.startswith(own) and "site-packages" not in f.filename]
    exact = [f for f in theirs if f.filename == job.path]
    for frame in reversed(exact or theirs):
        if "/lib/python" not in frame.filename:
            return f"{text} ({Path(frame.filename).name}:{frame.lineno})"
    return text
