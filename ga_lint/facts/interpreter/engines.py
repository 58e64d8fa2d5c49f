"""Over how many micro-batches does a DeepSpeed engine accumulate? Its configuration, where that is written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ga_lint.facts.values import (
    UNKNOWN,
    Built,
    Const,
    Instance,
    Items,
    Model,
    Symbol,
    Table,
    Value,
    alternatives,
    choice,
)
from ga_lint.trail import note_path

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

STEPS = "gradient_accumulation_steps"
_SIZES = {"train_batch_size", "train_micro_batch_size_per_gpu"}  # from these two it computes the steps
MAX_BYTES = 1_000_000  # a configuration has some kilobytes


def engine(call: Call) -> Value:
    """What `deepspeed.initialize(model=..., config=...)` returns: an engine first."""
    steps = _steps_of(call)
    model = call.argument(1, "model") or UNKNOWN
    engines: list[Value] = []
    for one in alternatives(model):
        inner = one if isinstance(one, Instance) else one.inner if isinstance(one, Model) else None
        known = one if isinstance(one, Model) else Model()
        engines.append(Model(known.level, known.head, known.shifts, True, inner, steps))
    return Items((choice(engines), UNKNOWN, _loader(call), UNKNOWN))


def _loader(call: Call) -> Value:
    """The loader that it makes of `training_data=`."""
    rows = call.argument(4, "training_data")
    if rows is None or rows == Const(None):
        return UNKNOWN
    collate = call.argument(9, "collate_fn")
    named = (("collate_fn", collate),) if collate is not None else ()
    return Built("torch.utils.data.DataLoader", (rows,), named, call.run.place(call.frame, call.node))


def _steps_of(call: Call) -> Value | None:
    """The steps that the engine divides by; None where its configuration is not in sight."""
    config = call.argument(None, "config", "config_params")
    for one in alternatives(config or UNKNOWN):
        match one:
            case Table(is_open=is_open):
                entries = dict(one.entries)
                found = entries.get(STEPS)
                if found is None and not is_open and not entries.keys() >= _SIZES:
                    return Const(1)  # what DeepSpeed takes where nothing is said
                return found if isinstance(found, Const | Symbol) else None
            case Const(value=str() as name):
                return _in_file(call, name)
    return None


def _in_file(call: Call, name: str) -> Value | None:
    """A JSON file that the code names, beside the code or from the project's root."""
    root = call.run.project.root
    for folder in (call.frame.scope.parsed.path.resolve().parent, root):
        path = Path(folder, name).resolve()
        note_path(path)
        if path.is_relative_to(root) and path.is_file() and path.stat().st_size < MAX_BYTES:
            return _read(path)
    return None


def _read(path: Path) -> Value | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if STEPS not in found and found.keys() >= _SIZES:
        return None
    steps = found.get(STEPS, 1)
    return Const(steps) if isinstance(steps, int) and not isinstance(steps, bool) else None  # "auto" is no number
