"""What drives a LightningModule's `training_step`? The loop that Lightning runs, written out around it."""

from __future__ import annotations

import ast
from typing import Any

import torch

from ga_lint.verify.worker.ends import NotVerifiable
from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.collectives import exchanged
from ga_lint.verify.worker.harness.stand_ins import Quiet, Unknown
from ga_lint.verify.worker.reading.sources import Function, Module

LOADER_NAME, OPTIMIZER_NAME, LOSS_OF = "__ga_loader__", "__ga_optimizer__", "__ga_loss_of__"
_STEPS = "__ga_steps__"
_HOOK = "on_before_optimizer_step"
# Automatic optimisation: Lightning divides by its accumulation steps, and steps on the last batch of an epoch too.
_AUTOMATIC = f"""
for __ga_index__, __ga_batch__ in enumerate({LOADER_NAME}):
    ({LOSS_OF}(self.training_step({{arguments}})) / {_STEPS}).backward()
    if (__ga_index__ + 1) % {_STEPS} == 0 or __ga_index__ + 1 == len({LOADER_NAME}):
        {{hook}}
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
    owner = module.parents.get(id(function))
    written = (
        {each.name for each in owner.body if isinstance(each, Function)} if isinstance(owner, ast.ClassDef) else ()
    )
    hook = f"self.{_HOOK}({OPTIMIZER_NAME})" if _HOOK in written else "pass"
    text = (_AUTOMATIC if automatic else _MANUAL).format(arguments=", ".join(given), hook=hook)
    loop = ast.parse(text).body[0]
    for node in ast.walk(loop):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = len(module.lines) + 1  # type: ignore[attr-defined]
    return loop


class Trainer(Quiet):
    """What a module asks its trainer for, where that decides a gradient."""

    def __init__(self, steps: int) -> None:
        self.accumulate_grad_batches = steps

    @property
    def world_size(self) -> int:
        return ranks.count()

    @property
    def global_rank(self) -> int:
        return ranks.rank()

    local_rank = global_rank
    num_devices = world_size


def all_gather(value: Any, *_: object, **__: object) -> Any:
    """Every rank's value along a new first dimension; alone, the value as a tensor."""
    value = torch.as_tensor(value)
    return value if ranks.here() is None else torch.stack(exchanged("self.all_gather", value))


def loss_of(result: Any) -> Any:
    """A training step returns its loss, or a dictionary that holds it."""
    loss = result["loss"] if isinstance(result, dict) else result
    if isinstance(loss, Unknown):
        loss._void()
    if loss is None:
        raise NotVerifiable("needs a `training_step` that returns its loss")
    return loss
