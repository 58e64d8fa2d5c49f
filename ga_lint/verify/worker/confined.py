"""How does a process examine code under the layers of the sandbox, and what does it say about them?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ga_lint.verify.job import Answer
from ga_lint.verify.worker.sandbox import audit
from ga_lint.verify.worker.sandbox.confine import ACCIDENTS_ONLY, Layer, confine
from ga_lint.verify.worker.sandbox.profiles import STRICT, Profile


def confined(seconds: float, work: Callable[[], Answer], profile: Profile = STRICT) -> Answer:
    """What `work` finds out in this process, which can do nothing else afterwards."""
    try:
        layers = confine(seconds, profile)
        answer = work()
    except BaseException as error:  # noqa: BLE001 - whatever happened, the parent must hear of it
        return Answer(missing=f"the check itself failed: {type(error).__name__}: {error}")
    notes = [f"refused: {each}" for each in audit.tried() if each not in (answer.missing or "")]
    if Layer.SECCOMP not in layers:
        notes.append(ACCIDENTS_ONLY)
    return replace(answer, assumptions=(*answer.assumptions, *notes))
