"""Has this class told the Trainer not to pass, or not to trust, a count?"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.diagnostics import Step
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import ALL_OFF
from ga_lint.facts.values import Class
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.walk import children

SCALED = "loss_is_scaled_for_ga"
_ACCEPTS = b"accepts_loss_kwargs"  # in both of its names
_FLAGS = ("model_accepts_loss_kwargs", "accepts_loss_kwargs", SCALED)


def opt_outs(run: Interpreter, cls: Class) -> tuple[Step, ...]:
    """Flags set by the class, its project bases, or on a model in the same file; TRL's string as loss function."""
    steps: list[Step] = []
    for ancestor in run.names.ancestry(cls):
        if isinstance(ancestor, Class):
            steps.extend(_in_class(ancestor))
    told = {(step.path, step.span) for step in steps}
    return (*steps, *(one for one in declined_for_models(cls.scope.parsed) if (one.path, one.span) not in told))


def declined_for_models(parsed: ParsedFile) -> Iterator[Step]:
    """`model.accepts_loss_kwargs = False`, `trainer.model_accepts_loss_kwargs = False`, anywhere in the file."""
    if _ACCEPTS not in parsed.source.data:
        return
    for node in parsed.speaking(ast.Assign, _ACCEPTS.decode()):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=owner, attr=name)], value=ast.Constant(value=False)) if (
                name in _FLAGS[:2] and not (isinstance(owner, ast.Name) and owner.id == "self")
            ):
                yield _step(parsed, node, f"{name} is set to False")


def _in_class(cls: Class) -> list[Step]:
    parsed = cls.scope.parsed
    steps: list[Step] = []
    for node, tests in _with_tests(cls.node, _rows(parsed, cls.node)):
        match node:
            case ast.Assign(
                targets=[ast.Attribute(attr=name) | ast.Name(id=name)], value=ast.Constant(value=bool() as value)
            ) if name in _FLAGS:
                if any(SCALED in test for test in tests):
                    continue  # only where that flag is set, which says all there is to say
                if name != SCALED and _is_overwritten(cls.node, node):
                    continue
                if value is False or name == SCALED:
                    under = " under a condition" if tests else ""
                    steps.append(_step(parsed, node, f"{name} is set to {value}{under}"))
            case ast.keyword(arg="compute_loss_func", value=ast.Constant(value=str())):
                steps.append(_step(parsed, node, ALL_OFF))
    return steps


def _is_overwritten(cls: ast.ClassDef, flag: ast.Assign) -> bool:
    """`Trainer.__init__` asks the model and sets the flag of the object, whatever the class, or lines above it, say."""
    if flag in cls.body:
        return True
    for method in cls.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            calls = [node.func for node in ast.walk(method) if isinstance(node, ast.Call)]
            first = [func.lineno for func in calls if isinstance(func, ast.Attribute) and func.attr == "__init__"]
            if first and method.lineno <= flag.lineno < min(first):
                return True
    return False


def _rows(parsed: ParsedFile, node: ast.ClassDef) -> list[int]:
    """The rows on which the class may say something; most classes say nothing, and none of them much."""
    words = (_ACCEPTS.decode(), SCALED, "compute_loss_func")
    if not any(word.encode() in parsed.source.data for word in words) or not parsed.mentions(node, *words):
        return []
    rows = [one.value.lineno for one in parsed.find(ast.keyword, node) if one.arg == "compute_loss_func"]
    flagged = (one.lineno for one in parsed.find(ast.Assign, node) if any(map(_is_flag, one.targets)))
    return [*rows, *flagged]


def _is_flag(target: ast.expr) -> bool:
    """`model_accepts_loss_kwargs = ...` in a class, or of an object."""
    return getattr(target, "attr", getattr(target, "id", None)) in _FLAGS


def _with_tests(
    node: ast.AST, rows: list[int], tests: tuple[str, ...] = ()
) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """Every node below that covers one of the rows, with the tests of the `if` statements around it."""
    if not rows:
        return
    for child in children(node):
        first, last = getattr(child, "lineno", None), getattr(child, "end_lineno", None)
        if first is not None and last is not None and not any(first <= row <= last for row in rows):
            continue
        around = tests
        if isinstance(node, ast.If) and child is not node.test:
            around = (*tests, ast.unparse(node.test))
        yield child, around
        yield from _with_tests(child, rows, around)


def _step(parsed: ParsedFile, node: ast.AST, message: str) -> Step:
    return Step(message, parsed.path, parsed.span_of(node))
