"""Which functions do nothing to gradients, wherever they lead? Of a call whose value nobody takes, nothing else counts.

A training script calls hundreds of helpers for what they do elsewhere: options, buckets of images, logging. They are
told by their text, of which a word too many is no loss: then the call is followed as any other.
"""

from __future__ import annotations

import re

from ga_lint.facts.values import (
    Built,
    Class,
    Const,
    External,
    Function,
    Instance,
    Model,
    Module,
    Symbol,
    Unknown,
    Value,
    alternatives,
)
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

_PLAIN = (Unknown, Const, Symbol, External, Module, Class, Instance, Built, Model)
_DEFINITION = re.compile(r"^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)", re.MULTILINE)
_CALL = re.compile(r"(\w+)[ \t]*\(")
# What events are made of.
_TELLING = re.compile(
    r"backward|zero_grad|\.grad\b|\bstep[ \t]*\(|(?:need_)?update(?:_grad)?="
    r"|compute_loss|training_step|Trainer|train_dataset|loss_function"
)
# How functions of other files are called that may lead to one.
_LEADING = re.compile(
    r"(?:^|_)(?:train|fit|run|loop|step|steps|epoch|epochs|learn|update|optimi[sz]e|main|launch|execute|accumulate|iteration|batch|sgd)(?:_|$)",
    re.IGNORECASE,
)


def is_idle(function: Function, arguments: tuple[Value, ...]) -> bool:
    """Is there nothing to see in this call, but for what it returns?"""
    if not isinstance(function.node, FunctionNode):
        return False
    if not all(isinstance(one, _PLAIN) for value in arguments for one in alternatives(value)):
        return False  # a batch, a loss, or a function that runs backward in there
    return function.node.name in _idle_names(function.scope.parsed)


def _idle_names(parsed: ParsedFile) -> frozenset[str]:
    """The functions of a file that do nothing, by name alone; kept on its tree."""
    idle: frozenset[str] | None = parsed.tree.__dict__.get("_ga_lint_idle")
    if idle is None:
        texts = _texts(parsed.source.text)
        calls = {name: {called for text in found for called in _CALL.findall(text)} for name, found in texts.items()}
        told = {name for name, found in texts.items() if any(map(_TELLING.search, found))}
        told |= {name for name, called in calls.items() if any(map(_LEADING.search, called - texts.keys()))}
        while more := {name for name, called in calls.items() if not called.isdisjoint(told)} - told:
            told |= more
        idle = parsed.tree._ga_lint_idle = frozenset(texts.keys() - told)  # type: ignore[attr-defined]
    return idle


def _texts(text: str) -> dict[str, list[str]]:
    """The text of each function, by its name: up to the next one that is not inside it, so at times more than it."""
    found = list(_DEFINITION.finditer(text))
    texts: dict[str, list[str]] = {}
    around: list[re.Match[str]] = []
    for definition in [*found, None]:
        depth = -1 if definition is None else len(definition[1].expandtabs())
        while around and len(around[-1][1].expandtabs()) >= depth:
            ended = around.pop()
            end = len(text) if definition is None else definition.start()
            if ended[2] == "def":
                body = "" if ended[3] == "__init__" else text[ended.start() : end]  # what that does is not kept
                texts.setdefault(ended[3], []).append(body)
        if definition is not None:
            around.append(definition)
    return texts
