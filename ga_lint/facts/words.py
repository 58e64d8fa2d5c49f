"""What must a file hold so that all of it is read, or so that a model's forward is?"""

from __future__ import annotations

from ga_lint.facts.model import (
    LOCAL_AVERAGE,
    LOOP_WORDS,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    SETUP_WORDS,
    STEP_OVERRIDE_WORDS,
)

# Without any of these there are no facts but those of models' forwards, and of those few bodies are looked at.
WHOLE_FILE_WORDS = (
    *LOOP_WORDS,
    *LOSS_OVERRIDE_WORDS,
    *STEP_OVERRIDE_WORDS,
    b"def _prepare_inputs",
    *LOSS_FUNCTION_WORDS,
    *SETUP_WORDS,
    LOCAL_AVERAGE,
    b"deepspeed",
)
FORWARD_NEEDS = (b"def forward(", b"labels")  # a forward that computes a loss has both
