"""What drives a LightningModule's `training_step`? The loop that Lightning runs, written out around it."""

from __future__ import annotations

import ast

from ga_lint.verify.worker.reading.sources import Function, Module
from ga_lint.verify.worker.reading.steps import STEPS_NAME

# The names in that loop of what the harness puts there.
LOADER_NAME, OPTIMIZER_NAME, LOSS_OF = "__ga_loader__", "__ga_optimizer__", "__ga_loss_of__"
_HOOK = "on_before_optimizer_step"
# Automatic optimisation: Lightning divides by its accumulation steps, and steps on the last batch of an epoch too.
_AUTOMATIC = f"""
for __ga_index__, __ga_batch__ in enumerate({LOADER_NAME}):
    ({LOSS_OF}(self.training_step({{arguments}})) / {STEPS_NAME}).backward()
    if (__ga_index__ + 1) % {STEPS_NAME} == 0 or __ga_index__ + 1 == len({LOADER_NAME}):
        {{hook}}
        {OPTIMIZER_NAME}.step()
        {OPTIMIZER_NAME}.zero_grad()
"""
_MANUAL = f"""
for __ga_index__, __ga_batch__ in enumerate({LOADER_NAME}):
    self.training_step({{arguments}})
"""


def lightning_loop(module: Module, function: Function, automatic: bool) -> ast.stmt:
    """The loop around a training step; its rows lie below the file's."""
    arguments = function.args
    positional = len([*arguments.posonlyargs, *arguments.args]) - 1
    given = ["__ga_batch__", "__ga_index__"][: 2 if arguments.vararg else positional]
    owner = module.parents.get(id(function))
    body = owner.body if isinstance(owner, ast.ClassDef) else []
    has_hook = any(isinstance(each, Function) and each.name == _HOOK for each in body)
    hook = f"self.{_HOOK}({OPTIMIZER_NAME})" if has_hook else "pass"
    text = (_AUTOMATIC if automatic else _MANUAL).format(arguments=", ".join(given), hook=hook)
    loop = ast.parse(text).body[0]
    for node in ast.walk(loop):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = len(module.lines) + 1  # type: ignore[attr-defined]
    return loop
