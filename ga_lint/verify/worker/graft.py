"""How does the user's class come to stand on the real Trainer? Cut to what the loss reaches, with its attributes."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

from transformers import Trainer

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.files import SliceFiles
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.harness.stand_ins import Recorder
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.reading.reached import ENTRIES, reached
from ga_lint.verify.worker.reading.signatures import LACKS_COUNT
from ga_lint.verify.worker.reading.sources import (
    Function,
    Module,
    dotted,
    last,
    loaded_names,
    project_root,
)

# Overrides that decide what the loss sees, and so stay although nothing in the class calls them.
_KEPT = frozenset((*ENTRIES, "_get_num_items_in_batch", "get_batch_samples", "_prepare_inputs"))
_TRAINER_LIKE = re.compile("Trainer|Mixin")
_OTHER_OBJECTIVE = re.compile(r"DPO|KTO|RPO|CPO|BCO|TPO|PPO|XPO|RLOO|Reward|PRM|Nash|Sentence|CrossEncoder|Diffusion")


class Graft:
    """One class of the user's with transformers.Trainer below it. `raises`: what keeps it from running as it stands."""

    def __init__(self, owner: ast.ClassDef, module: Module, recorder: Recorder) -> None:
        self.owner, self.recorder = owner, recorder
        self.raises: str | None = None
        self.may_opt_out = False  # a base that is not there may keep the Trainer from counting
        self._read: set[str] = set()  # attributes of self, in the class and in its ancestors
        files = SliceFiles(project_root(module.path), recorder)
        files.guess = lambda name: guess(name, module, recorder)
        files.cut = lambda node: _cut(node, self._read)
        own = not _asks_above(reached(module, owner))
        files.base_for = lambda name: self._base_for(name, has_own_loss=own)
        self.space = files.module_namespace(module)
        for function in reversed(module.functions_around(owner)):
            self.space = self.space.inner(function, owner.lineno)

    def made(self) -> type[Trainer]:
        self.space.define(self.owner)
        users = self.space[self.owner.name]
        assert isinstance(users, type)
        bases: tuple[type, ...] = (users,)
        if not issubclass(users, Trainer):
            if "super" in loaded_names(self.owner):
                raise NotVerifiable(f"needs the trainer below `{self.owner.name}`, whose super() computes the loss")
            self.recorder.assume("transformers.Trainer added below the class: no base of it was found")
            bases = (users, Trainer)
        own = {"__getattr__": _unknown_attribute(self._read, self.space), **self._adapted(users)}
        return type(users.__name__, bases, own)

    def _base_for(self, name: str, *, has_own_loss: bool) -> type | None:
        """transformers.Trainer for a trainer that is not there, if it trains on tokens as Trainer does.

        Where the loss is all the user's, what is left open is whether that trainer counts.
        """
        if _OTHER_OBJECTIVE.search(last(name)):
            if not has_own_loss:
                raise NotVerifiable(f"needs {name}, whose loss and opt-outs are its own")
            self.may_opt_out = True
        return Trainer if "Trainer" in last(name) else None

    def _adapted(self, users: Any) -> dict[str, object]:
        """Overrides that cannot take the count get a caller that drops it, and say so."""
        found: dict[str, object] = {}
        for name in ENTRIES:
            override = inspect.unwrap(getattr(users, name, getattr(Trainer, name)))
            parameters = inspect.signature(override).parameters.values()
            takes_any = any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)
            lacks = len(parameters) < 4 if name == "training_step" else not _has(override, "num_items_in_batch")
            if lacks and not takes_any:
                self.raises = LACKS_COUNT
                self.recorder.assume(f"{name} does not take num_items_in_batch: called without it")
                found[name] = _without_count(override, name)
        return found


def with_class(trainer: Any, users: type[Trainer]) -> Any:
    """The trainer as an instance of the user's class, without a call of its `__init__`."""
    try:
        trainer.__class__ = users
    except TypeError:  # bases of another layout, such as ABC, cannot be put on an instance
        same = object.__new__(users)
        same.__dict__.update(trainer.__dict__)
        return same
    return trainer


def _asks_above(functions: list[Function]) -> bool:
    return any("super" in loaded_names(function) for function in functions)


def _cut(node: ast.ClassDef, read: set[str]) -> ast.ClassDef:
    """Without the overrides of Trainer's own methods that the loss never reaches: logging, loaders, __init__."""
    methods = {m.name: m for m in node.body if isinstance(m, Function)}
    reached: set[str] = set()
    todo = [name for name in ENTRIES if name in methods]
    while todo:
        name = todo.pop()
        if name in methods and name not in reached:
            reached.add(name)
            todo.extend(n.attr for n in ast.walk(methods[name]) if isinstance(n, ast.Attribute))
    if reached or _TRAINER_LIKE.search(" ".join([node.name, *map(ast.unparse, node.bases)])):
        kept = (
            _KEPT if "num_batches" in _parameters(methods.get("get_batch_samples")) else _KEPT - {"get_batch_samples"}
        )
        dropped = {m for m in methods if hasattr(Trainer, m) and m not in kept | reached} | {"__init__"}
        node.body = [s for s in node.body if getattr(s, "name", None) not in dropped] or [ast.Pass()]
        read.update(n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and dotted(n.value) == "self")
    return node


def _parameters(function: Function | None) -> set[str]:
    return {argument.arg for argument in function.args.args} if function is not None else set()


def _unknown_attribute(read: set[str], space: Namespace) -> Any:
    """`__getattr__` for what a base class that is not there would have set; only names that the user's classes read."""

    def find(_self: Any, name: str) -> object:
        if name.startswith("__") or name not in read:
            raise AttributeError(name)
        return space.stand_in(f"self.{name}")

    return find


def _without_count(override: Any, name: str) -> object:
    if name == "training_step":
        return lambda self, model, inputs, *_, **__: override(self, model, inputs)

    def compute_loss(self: Any, model: Any, inputs: Any, return_outputs: bool = False, **_: object) -> Any:
        return override(self, model, inputs, return_outputs) if return_outputs else override(self, model, inputs)

    return compute_loss


def _has(function: Any, parameter: str) -> bool:
    return parameter in inspect.signature(function).parameters
