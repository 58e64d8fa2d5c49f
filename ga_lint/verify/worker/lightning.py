"""What drives a LightningModule's `training_step`? The loop that Lightning runs, written out around it."""

from __future__ import annotations

import ast
from typing import Any

from ga_lint.verify.worker.sources import Function, Module
from ga_lint.verify.worker.stand_ins import NotVerifiable, Unknown

LOADER_NAME, OPTIMIZER_NAME, LOSS_OF = "__ga_loader__", "__ga_optimizer__", "__ga_loss_of__"
_STEPS = "__ga_steps__"
# Automatic optimisation: Lightning divides by its accumulation steps, and steps on the last batch of an epoch too.
_AUTOMATIC = f"""
for __ga_index__, __ga_batch__ in enumerate({LOADER_NAME}):
    ({LOSS_OF}(self.training_step({{arguments}})) / {_STEPS}).backward()
    if (__ga_index__ + 1) % {_STEPS} == 0 or __ga_index__ + 1 == len({LOADER_NAME}):
        {OPTIMIZER_NAME}.step()
        {OPTIMIZER_NAME}.zero_grad()
"""
_MANUAL = f"""
for __ga_index__, __ga_batch__ in enumerate({LOADER_NAME}):
    self.training_step({{arguments}})
"""


def driver(module: Module, function: Function, automatic: bool) -> ast.stmt:
    """The loop around a training step; its rows lie below the file's."""
    arguments = function.args
    positional = len([*arguments.posonlyargs, *arguments.args]) - 1
    given = ["__ga_batch__", "__ga_index__"][: 2 if arguments.vararg else positional]
    text = (_AUTOMATIC if automatic else _MANUAL).format(arguments=", ".join(given))
    loop = ast.parse(text).body[0]
    for node in ast.walk(loop):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = len(module.lines) + 1  # type: ignore[attr-defined]
    return loop


def loss_of(result: Any) -> Any:
    """A training step returns its loss, or a dictionary that holds it."""
    loss = result["loss"] if isinstance(result, dict) else result
    if isinstance(loss, Unknown):
        loss._void()
    if loss is None:
        raise NotVerifiable("needs a `training_step` that returns its loss")
    return loss
