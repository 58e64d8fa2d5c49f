"""Which runs are there, and in which settings are they made? The names that the worker gives and the parent reads.

R0 is the original on equal counts, R1 on ragged ones, R2 the rewrite on those, each cut into micro-batches against the
whole batch; R3 is the rewrite against the original, both on whole batches; R4 is what several ranks make of the rows.
"""

from __future__ import annotations

# The first setting of a site decides; it is empty where there is but one.
COUNT_PASSED, NO_COUNT = "count passed", "no count"  # whether the Trainer passes num_items_in_batch
LOSS_ONLY = "loss only"  # the loop did not run; its loss did, alone
SHORT_WINDOW = "short last window"
RANKS = 2  # of the emulation: the fewest that show a count of one rank, or a rank factor that is missing
ON_RANKS = f"{RANKS} ranks"  # of R0: the control of an emulated R4
ORIGINAL = "original"  # of the original's own R4, where R4 is the rewrite's
PER_EXAMPLE = "per-example head"  # tried where the file names no head: is it wrong for every head?

# Settings that doubt what the first one assumes: where they change the answer, nothing is known.
_IF = "if "
NO_LABELS = f"{_IF}the batch has no labels"
OPTED_OUT = f"{_IF}the trainer opts out of the count"
IN_BATCH = f"{_IF}its model compares each example with the others of its micro-batch"
OTHER_HEAD = f"{_IF}the model's head is "  # one that the file names, too

# An assumption that decides what a refutation is worth: it says what the stand-in shifts.
HEAD_GUESSED = "the model is a causal language model: the file names no head"


def is_doubt(setting: str) -> bool:
    """Whether the setting is tried only to see whether it matters."""
    return setting.startswith(_IF)
