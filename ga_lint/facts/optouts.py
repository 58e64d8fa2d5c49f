"""Has this class told the Trainer not to pass, or not to trust, a count?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.diagnostics import Step
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import ALL_OFF
from ga_lint.facts.values import Class
from ga_lint.syntax.parsed import ParsedFile

SCALED = "loss_is_scaled_for_ga"
_FLAGS = ("model_accepts_loss_kwargs", "accepts_loss_kwargs", SCALED)


def opt_outs(run: Interpreter, cls: Class) -> tuple[Step, ...]:
    """Flags set by the class, its project bases, or on a model in the same file; TRL's string as loss function."""
    steps: list[Step] = []
    for ancestor in run.names.ancestry(cls):
        if isinstance(ancestor, Class):
            steps.extend(_in_class(ancestor))
    return (*steps, *declined_for_models(cls.scope.parsed))


def declined_for_models(parsed: ParsedFile) -> Iterator[Step]:
    """`model.accepts_loss_kwargs = False`, `trainer.model_accepts_loss_kwargs = False`, anywhere in the file."""
    for node in ast.walk(parsed.tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=owner, attr=name)], value=ast.Constant(value=False)) if (
                name in _FLAGS[:2] and not (isinstance(owner, ast.Name) and owner.id == "self")
            ):
                yield _step(parsed, node, f"{name} is set to False")


def _in_class(cls: Class) -> list[Step]:
    parsed = cls.scope.parsed
    steps: list[Step] = []
    for node, tests in _with_tests(cls.node):
        match node:
            case ast.Assign(
                targets=[ast.Attribute(attr=name) | ast.Name(id=name)], value=ast.Constant(value=bool() as value)
            ) if name in _FLAGS:
                if any(SCALED in test for test in tests):
                    continue  # only where that flag is set, which says all there is to say
                if value is False or name == SCALED:
                    under = " under a condition" if tests else ""
                    steps.append(_step(parsed, node, f"{name} is set to {value}{under}"))
            case ast.keyword(arg="compute_loss_func", value=ast.Constant(value=str())):
                steps.append(_step(parsed, node, ALL_OFF))
    return steps


def _with_tests(node: ast.AST, tests: tuple[str, ...] = ()) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """Every node below, with the tests of the `if` statements around it."""
    for child in ast.iter_child_nodes(node):
        around = tests
        if isinstance(node, ast.If) and child is not node.test:
            around = (*tests, ast.unparse(node.test))
        yield child, around
        yield from _with_tests(child, around)


def _step(parsed: ParsedFile, node: ast.AST, message: str) -> Step:
    return Step(message, parsed.path, parsed.span_of(node))
