"""How small must an error be to be noise, and how large to be real?"""

from __future__ import annotations

import math

from ga_lint.verify.job import Measurement
from ga_lint.verify.model import Run

DIFFERS = 1e-2  # the smallest real error on this data is 0.07; bfloat16 noise reaches 1.1e-2 and decides nothing
AGREES = {
    "float64": 1e-6,  # correct rewrites: 3e-16; 3e-8 where the user's counter is float32
    "float32": 1e-5,  # correct rewrites: 1.6e-7 at worst over 60 seeds
}
SCALE = 1e-3  # how near a factor must be to 4 or 1/4 to be called a missing or a second division


def allowed_in(dtype: str) -> float:
    """What counts as noise; in a type that decides nothing, whatever is no clear difference."""
    return AGREES.get(dtype, DIFFERS)


def differs(run: Measurement) -> bool:
    return not run.relative_error <= DIFFERS  # NaN differs


def between(run: Measurement) -> str:
    return f"{run.name}: relative error {run.relative_error:.2g} is neither noise nor a clear difference"


def has_right_direction(run: Measurement | Run) -> bool:
    """Whether the two gradients differ by a factor at most."""
    return math.sqrt(max(0.0, run.relative_error**2 - (run.scale - 1) ** 2)) <= DIFFERS * abs(run.scale)
