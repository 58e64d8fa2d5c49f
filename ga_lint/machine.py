"""What may this process use of the machine that it runs on?"""

from __future__ import annotations

import os


def usable_cores() -> int:
    """How many processors, at least one: those that the system lets it run on, not all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
