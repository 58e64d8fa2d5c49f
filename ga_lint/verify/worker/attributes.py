"""What does the `__init__` of the user's classes put on self? Each value by itself, since none of them is called."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from transformers import Trainer

from ga_lint.verify.worker.callers import is_reached
from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.stand_ins import MISSING, Unknown
from ga_lint.verify.worker.harness.tokens import Tokenizer
from ga_lint.verify.worker.loop_self import ancestry
from ga_lint.verify.worker.namespace import Namespace
from ga_lint.verify.worker.reading.declared import optional
from ga_lint.verify.worker.reading.sources import Function, bindings, dotted, statements

_TEACHER = re.compile(r"teacher|oracle|ref_model|reference|old_model|base_model|frozen", re.IGNORECASE)
_TOKENIZER = re.compile(r"^(\w+_)?(tokenizer|processing_class|processor)$")
_STATE = re.compile(
    r"^(global|server|initial|init|reference|ref|old|base|anchor|pretrained)_(model_)?(state|params?|weights|state_dict|dict)$"
)


def set_attributes(trainer: Any, owner: ast.ClassDef, space: Namespace, second_model: Callable[[str], Any]) -> None:
    """The base's first, as its `__init__` runs first."""
    own = set(vars(trainer))
    for place, node in reversed(list(ancestry(space, owner))):
        init = next((m for m in node.body if isinstance(m, Function) and m.name == "__init__"), None)
        if init is not None:
            _initialise(trainer, init, place.inner(init), own, second_model)


def _initialise(
    trainer: Any, init: Function, inner: Namespace, own: set[str], second_model: Callable[[str], Any]
) -> None:
    """One `__init__`; its parameters by default, role or name."""
    inner.update(self=trainer, model=trainer.model, args=trainer.args)
    _give_parameters(init, inner, second_model)
    for statement in statements(init.body):
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        if not isinstance(target, ast.Attribute) or dotted(target.value) != "self":
            continue
        name, is_constant = target.attr, isinstance(statement.value, ast.Constant)
        if not is_reached(inner, f"self.{name}", statement):
            continue
        if (hasattr(Trainer, name) or name in own) and not is_constant:
            continue  # what Trainer sets itself, such as self.model, is the harness's; its flags are the user's
        value: Any = MISSING
        try:
            value = inner.evaluate(statement.value)
        except (Exception, NotVerifiable):  # noqa: BLE001 - the user's code may raise anything
            value = MISSING
        if (value is MISSING or value is None or isinstance(value, Unknown)) and _is_second_model(name):
            value = second_model(name)
        is_left_out = value is None and (is_constant or name in optional(inner.module))
        if is_left_out or (value is not MISSING and value is not None):
            setattr(trainer, name, value)


def _give_parameters(init: Function, inner: Namespace, second_model: Callable[[str], Any]) -> None:
    """What the names of parameters, and of tokenizers that the method makes, say that they are."""
    names = [argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)]
    inner.update({name: Tokenizer() for name in (*names, *bindings(init.body)) if _TOKENIZER.search(name)})
    for name in names:
        if _STATE.search(name):
            inner[name] = {key: value.detach() for key, value in second_model(name).named_parameters()}
        elif _TEACHER.search(name):
            inner[name] = second_model(name)


def _is_second_model(name: str) -> bool:
    return _TEACHER.search(name) is not None and "model" in name
