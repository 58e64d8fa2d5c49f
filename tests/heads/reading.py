"""Does the loss of this forward use the count? Two things are followed through its statements: labels and the count."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from dataclasses import dataclass

from heads.package import Class, Package

COUNT = "num_items_in_batch"
FLAG = "accepts_loss_kwargs"


class Verdict(enum.StrEnum):
    DROPS = "drops"  # every loss is computed without the count
    MIXED = "mixed"  # some of its losses are
    USES = "uses"
    UNCOUNTED = "uncounted"  # the Trainer counts nothing for it: no **kwargs, opted out, or labels in a list
    CONFIG = "config"  # its configuration chooses the reduction
    NONE = "none"  # takes labels and computes no loss from them
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reading:
    verdict: Verdict
    why: str


def read(package: Package, cls: Class, seen: frozenset[str] = frozenset()) -> Reading | None:
    """The verdict for one class; None where its forward takes no `labels`."""
    ancestry = list(package.ancestry(cls))
    owner = next((one for one in ancestry if "forward" in one.methods), None)
    if owner is None:
        return None
    forward = owner.methods["forward"]
    arguments = _names(forward)
    if "labels" not in arguments:
        return None
    if not seen:
        flag = next((one.constants[FLAG] for one in ancestry if FLAG in one.constants), None)
        reason = _not_counted(package, forward, flag, arguments["labels"])
        if reason:
            return Reading(Verdict.UNCOUNTED, reason)
    return _Forward(package, cls, owner, forward, seen).verdict()


def _not_counted(package: Package, forward: ast.FunctionDef, flag: object, labels: ast.arg) -> str:
    """Why the Trainer passes this model no count."""
    if flag is False and package.release >= (4, 48, 0):
        return f"{FLAG} = False"
    keywords = forward.args.kwarg
    if keywords is None and not (flag is True and package.release >= (4, 48, 0)):
        return "takes no **kwargs"
    if package.release < (4, 47, 0) and keywords is not None and keywords.arg != "loss_kwargs":
        return "takes no **loss_kwargs"
    if labels.annotation is not None and "dict" in ast.unparse(labels.annotation).lower():
        return "labels in a list of dictionaries"
    return ""


def _names(forward: ast.FunctionDef) -> dict[str, ast.arg]:
    return {each.arg: each for each in (*forward.args.posonlyargs, *forward.args.args, *forward.args.kwonlyargs)}


class _Forward:
    """One forward, and what its names may carry."""

    def __init__(
        self, package: Package, cls: Class, owner: Class, forward: ast.FunctionDef, seen: frozenset[str]
    ) -> None:
        self.package, self.cls, self.owner, self.forward = package, cls, owner, forward
        self.seen = seen | {f"{owner.module}.{owner.name}"}
        counts = {COUNT} | ({forward.args.kwarg.arg} if forward.args.kwarg else set())
        self.counts = _carriers(forward, counts)
        self.labels = _carriers(forward, {"labels"})

    def verdict(self) -> Reading:
        readings = [reading for call in self._loss_calls() if (reading := self._of(call)).verdict is not Verdict.NONE]
        kinds = {one.verdict for one in readings}
        why = "; ".join(sorted({one.why for one in readings}))
        if not readings:
            return Reading(Verdict.NONE, "no loss found")
        if len(kinds) == 1:
            return Reading(kinds.pop(), why)
        for worst in (Verdict.UNKNOWN, Verdict.CONFIG):
            if worst in kinds:
                return Reading(worst, why)
        return Reading(Verdict.MIXED, why)

    def _loss_calls(self) -> Iterator[ast.Call]:
        """The calls that take labels and whose value is a loss, or that hand `labels=` to an inner model."""
        for statement in ast.walk(self.forward):
            if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.Expr):
                continue
            named = "loss" in _target(statement) or isinstance(statement, ast.Return)
            for call in ast.walk(statement):
                if isinstance(call, ast.Call) and self._takes(call, self.labels):
                    inner = _is_inner(call) and any(keyword.arg == "labels" for keyword in call.keywords)
                    if inner or (named and self._is_loss(call)) or self._is_loss_layer(call):
                        yield call

    def _of(self, call: ast.Call) -> Reading:
        text = ast.unparse(call.func)
        counted = self._takes(call, self.counts)
        if text == "self.loss_function":
            if not counted:
                return Reading(Verdict.DROPS, "loss_function without it")
            return self._of_loss_function(call)
        if _is_inner(call) and not self._is_loss(call) and not self._is_loss_layer(call):
            return self._of_inner(call, counted)
        if counted:
            return Reading(Verdict.USES, text)
        if any(k.arg == "reduction" and "config" in ast.unparse(k.value) for k in call.keywords):
            return Reading(Verdict.CONFIG, text)
        return Reading(Verdict.DROPS, text)

    def _of_loss_function(self, call: ast.Call) -> Reading:
        """A loss function that is handed the count; not all of them use it."""
        name = self.package.loss_functions.of(self._loss_type())
        if self.package.loss_functions.uses_count(name):
            return Reading(Verdict.USES, name)
        if any(k.arg == "reduction" and "config" in ast.unparse(k.value) for k in call.keywords):
            return Reading(Verdict.CONFIG, name)
        return Reading(Verdict.DROPS, name)

    def _loss_type(self) -> str:
        """The class's name, or what an `__init__` says."""
        for one in self.package.ancestry(self.cls):
            init = one.methods.get("__init__")
            for node in ast.walk(init) if init else ():
                match node:
                    case ast.Assign(targets=[ast.Attribute(attr="loss_type")], value=ast.Constant(value=str() as said)):
                        if one.name != "PreTrainedModel":
                            return said
        return self.cls.name

    def _of_inner(self, call: ast.Call, counted: bool) -> Reading:
        text = ast.unparse(call.func)
        inner = self._above() if text == "super().forward" else self._built(text.removeprefix("self."))
        if inner is None or f"{inner.module}.{inner.name}" in self.seen:
            return Reading(Verdict.UNKNOWN, f"{text}(labels=...)")
        reading = read(self.package, inner, self.seen)
        if reading is None:
            return Reading(Verdict.UNKNOWN, f"{text}: {inner.name} takes no labels")
        if reading.verdict is Verdict.USES and not counted:
            return Reading(Verdict.DROPS, f"{text} without it")
        return Reading(reading.verdict, f"{text}: {reading.why}")

    def _above(self) -> Class | None:
        """The base whose forward `super().forward` is."""
        bases = list(self.package.ancestry(self.owner))[1:]
        return next((base for base in bases if "forward" in base.methods), None)

    def _built(self, attribute: str) -> Class | None:
        """The class that `self.attribute` is made of in an `__init__`."""
        for one in self.package.ancestry(self.cls):
            init = one.methods.get("__init__")
            made = _made_in(init) if init else {}
            name = made.get(f"self.{attribute}", "")
            name = made.get(name, name).removesuffix("._from_config")
            if name:
                return self.package.find(one.module, name)
        return None

    def _is_loss(self, call: ast.Call) -> bool:
        """A call of a loss, by its name or by what the thing called was made of."""
        if _is_loss(call):
            return True
        text = ast.unparse(call.func)
        if "loss" in _made_in(self.forward).get(text, "").lower():
            return True
        inner = self._built(text.removeprefix("self.")) if text.startswith("self.") else None
        return inner is not None and "loss" in inner.name.lower()

    def _takes(self, call: ast.Call, carriers: set[str]) -> bool:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return any(self._has(one, carriers) for one in given)

    def _has(self, node: ast.expr, carriers: set[str]) -> bool:
        return any(isinstance(each, ast.Name) and each.id in carriers for each in ast.walk(node))

    def _is_loss_layer(self, call: ast.Call) -> bool:
        """A layer that returns scores and their loss, as XLM's."""
        text = ast.unparse(call.func)
        layer = self._built(text.removeprefix("self.")) if text.startswith("self.") else None
        forward = layer.methods.get("forward") if layer else None
        calls = [node for node in ast.walk(forward) if isinstance(node, ast.Call)] if forward else []
        return bool(forward) and "labels" not in _names(forward) and any(map(_is_loss, calls))


def _made_in(method: ast.FunctionDef) -> dict[str, str]:
    """For every name the callable (or the name) that its value comes from."""
    made: dict[str, str] = {}
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=[target], value=ast.Call(func=value)):
                made[ast.unparse(target)] = ast.unparse(value)
            case ast.Assign(targets=[target], value=ast.Name(id=name)):
                made[ast.unparse(target)] = name
    return made


def _carriers(forward: ast.FunctionDef, start: set[str]) -> set[str]:
    """The names that hold one of `start`, or something made of it; what a network or a loss returns does not count."""
    found = set(start)
    while True:
        before = len(found)
        for node in ast.walk(forward):
            match node:
                case ast.Assign(targets=targets, value=value) if not _is_network(value):
                    if _takes_other_key(value):
                        continue
                    if any(isinstance(each, ast.Name) and each.id in found for each in ast.walk(value)):
                        for target in targets:
                            found |= {each.id for each in ast.walk(target) if isinstance(each, ast.Name)} - {"self"}
        if len(found) == before:
            return found


def _takes_other_key(value: ast.expr) -> bool:
    """`kwargs.pop("shift_labels", None)`: out of the keywords, but not the count."""
    match value:
        case ast.Call(func=ast.Attribute(attr="pop" | "get"), args=[ast.Constant(value=str() as key), *_]):
            return key != COUNT
    return False


def _is_network(value: ast.expr) -> bool:
    text = ast.unparse(value)
    return isinstance(value, ast.Call) and (text.startswith(("self.", "getattr(self", "super()")) or _is_loss(value))


def _is_loss(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2].lower()
    return "loss" in name or name in ("cross_entropy", "binary_cross_entropy_with_logits", "mse_loss")


def _is_inner(call: ast.Call) -> bool:
    text = ast.unparse(call.func)
    return text.startswith(("self.", "super().forward"))


def _target(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            return ast.unparse(target)
    return ""
