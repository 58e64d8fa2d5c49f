"""Does this override fail wherever the Trainer calls it, whatever it computes? Told by its parameters alone."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from ga_lint.verify.job import Job
from ga_lint.verify.worker.reading.sources import Function, Module, dotted, last, module_file, project_root, read_module

LACKS_COUNT = "TypeError on transformers >= 4.46, which passes num_items_in_batch: this override does not take it"
# Trainers of TRL's that call compute_loss as the Trainer does.
_OF_TRL = re.compile(r"^(SFT|DPO|Reward|KTO|ORPO|CPO|BCO|GKD|PRM)Trainer$")
_HARMLESS = frozenset({"override", "profiling_decorator"})


def certain_failure(job: Job) -> str | None:
    """The error that the override ends with, where its class stands on the Trainer that is installed here."""
    from transformers import Trainer

    if "num_items_in_batch" not in inspect.signature(Trainer.training_step).parameters:
        return None
    module = Module(Path(job.path), job.original)
    owner_name, _, name = job.scope.rpartition(".")
    owner = module.find(owner_name, job.row)
    if not isinstance(owner, ast.ClassDef):
        return None
    method = next((m for m in owner.body if isinstance(m, Function) and m.name == name), None)
    is_plain = method is not None and {last(dotted(d)) for d in method.decorator_list} <= _HARMLESS
    if method is None or not is_plain or takes_count(method):
        return None
    return LACKS_COUNT if _stands_on_trainer(module, owner, name, set()) else None


def takes_count(method: Function) -> bool:
    """As the Trainer hands it over: by name to a loss, by position to a step."""
    arguments = method.args
    if arguments.kwarg is not None and method.name == "compute_loss":
        return True
    positional = [*arguments.posonlyargs, *arguments.args]
    if method.name == "training_step":
        return arguments.vararg is not None or len(positional) >= 4
    return "num_items_in_batch" in {a.arg for a in (*arguments.args, *arguments.kwonlyargs)}


def _stands_on_trainer(module: Module, owner: ast.ClassDef, name: str, seen: set[int]) -> bool:
    """Whether every class below is known, one of them is a Trainer, and no step of their own calls the loss."""
    if id(owner) in seen:
        return False
    seen.add(id(owner))
    own = {m.name for m in owner.body if isinstance(m, Function)}
    if name == "compute_loss" and "training_step" in own:
        return False
    found = [_base(module, base, name, seen) for base in owner.bases]
    return None not in found and True in found


def _base(module: Module, base: ast.expr, name: str, seen: set[int]) -> bool | None:
    """Whether this base is the Trainer or stands on it; None where it cannot be told."""
    text = dotted(base) or ""
    statement = next(iter(reversed(module.top.get(text.split(".")[0], []))), None)
    if isinstance(statement, ast.ClassDef):
        return _of_class(module, statement, name, seen)
    if statement is None:
        stars = [s.module for s in module.top.get("*", []) if isinstance(s, ast.ImportFrom)]
        return (text == "Trainer" and stars in (["transformers"], ["transformers.trainer"])) or None
    if isinstance(statement, ast.Import):
        return text == "transformers.Trainer" or None
    if not isinstance(statement, ast.ImportFrom) or "." in text:
        return None
    original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == text)
    source = (statement.module or "").split(".")[0]
    if not statement.level and source == "transformers" and original in ("Trainer", "Seq2SeqTrainer"):
        return True
    if not statement.level and source == "trl" and _OF_TRL.match(original):
        return True
    return _imported(module, statement, original, name, seen)


def _imported(module: Module, statement: ast.ImportFrom, original: str, name: str, seen: set[int]) -> bool | None:
    path = module_file(module.path, project_root(module.path), statement.module or "", statement.level)
    other = read_module(path) if path is not None else None
    definition = other.top.get(original, [None])[-1] if other is not None else None
    if other is None or not isinstance(definition, ast.ClassDef):
        return None
    return _of_class(other, definition, name, seen)


def _of_class(module: Module, owner: ast.ClassDef, name: str, seen: set[int]) -> bool | None:
    if not owner.bases:
        own = {m.name for m in owner.body if isinstance(m, Function)}
        return None if name == "compute_loss" and "training_step" in own else False
    return _stands_on_trainer(module, owner, name, seen) or None
