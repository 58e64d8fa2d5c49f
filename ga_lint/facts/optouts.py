"""Has this class told the Trainer not to pass, or not to trust, a count?"""

from __future__ import annotations

import ast

from ga_lint.diagnostics import Step
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.values import Class
from ga_lint.syntax.parsed import ParsedFile

_FLAGS = ("model_accepts_loss_kwargs", "accepts_loss_kwargs", "loss_is_scaled_for_ga")


def opt_outs(run: Interpreter, cls: Class) -> tuple[Step, ...]:
    """Flags set by the class, its project bases, or on a model in the same file; TRL's string as loss function."""
    steps: list[Step] = []
    for ancestor in run.names.ancestry(cls):
        if isinstance(ancestor, Class):
            steps.extend(_in_class(ancestor))
    parsed = cls.scope.parsed
    for node in ast.walk(parsed.tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=owner, attr=name)], value=ast.Constant(value=False)) if (
                name in _FLAGS[:2] and not (isinstance(owner, ast.Name) and owner.id == "self")
            ):
                steps.append(_step(parsed, node, f"{name} is set to False"))
    return tuple(steps)


def _in_class(cls: Class) -> list[Step]:
    parsed = cls.scope.parsed
    steps: list[Step] = []
    for node in ast.walk(cls.node):
        match node:
            case ast.Assign(
                targets=[ast.Attribute(attr=name) | ast.Name(id=name)], value=ast.Constant(value=bool())
            ) if name in _FLAGS:
                if node.value.value is False or name == "loss_is_scaled_for_ga":  # type: ignore[attr-defined]
                    value = node.value.value  # type: ignore[attr-defined]
                    steps.append(_step(parsed, node, f"{name} is set to {value}"))
            case ast.keyword(arg="compute_loss_func", value=ast.Constant(value=str())):
                steps.append(_step(parsed, node, "a string is passed as compute_loss_func to disable scaling"))
    return steps


def _step(parsed: ParsedFile, node: ast.AST, message: str) -> Step:
    return Step(message, parsed.path, parsed.span_of(node))
