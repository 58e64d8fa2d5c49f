"""Which values does the project declare? argparse options and literal fields of classes, here and in its imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from ga_lint.verify.worker.reading.sources import Module, dotted, is_none, last, module_file, project_root, read_module

DEFAULT, CHOICE = "its declared default", "its first declared choice"
NONE = "as its declaration says"  # None that stands for no collection and no text, not for a number to be found out
Declared = dict[str, tuple[object, str]]  # the value, and what it is
_NO_NUMBER = re.compile(r"\b([Ll]ist|[Dd]ict|[Tt]uple|[Ss]equence|str)\b")
_DEEP = 2  # files away from the site: a script, its arguments module, that module's base
_MOST_FILES = 40
_OPTIONS = re.compile(r"(^|_)(args?|arguments?|conf|configs?|configuration|options?|params|settings|flags)($|_)")


@cache
def declared(module: Module) -> Declared:
    """The values of the file and of the files of the repository that it imports; the nearest wins."""
    found: Declared = {}
    root, seen, files = project_root(module.path), {module.path}, [module]
    for _ in range(_DEEP + 1):
        following: list[Module] = []
        for each in files:
            for name, value in _declared_in(each):
                found.setdefault(name, value)
            for source, level in _imports(each):
                path = module_file(each.path, root, source, level)
                if path is not None and path not in seen and len(seen) < _MOST_FILES:
                    seen.add(path)
                    read = read_module(path)
                    following += [read] if read is not None else []
        files = following
    for path in sorted(module.path.parent.glob("*.py")):  # options that only the script brings together with this file
        read = read_module(path) if path not in seen and _OPTIONS.search(path.stem) else None
        for name, value in _declared_in(read) if read is not None else ():
            found.setdefault(name, value)
    return found


@cache
def optional(module: Module) -> frozenset[str]:
    """The names of values that the file compares with None: options that need not be given.

    One that is also calculated with where no such test stands around is needed there.
    """
    tested = [n for n in ast.walk(module.tree) if isinstance(n, ast.Compare) and is_none(n.comparators[0])]
    tested = [n for n in tested if not isinstance(module.parents.get(id(n)), ast.Assert)]  # that is a demand
    names = {last(dotted(test.left)) for test in tested}
    for node in ast.walk(module.tree):  # `name = args.loss_name`, then `name is None`
        if isinstance(node, ast.Assign) and last(dotted(node.targets[0])) in names:
            names.add(last(dotted(node.value)))
    return frozenset(names - {""} - set(_calculated(module)))


def _calculated(module: Module) -> Iterator[str]:
    """The names of operands that no test for None guards."""
    for node in ast.walk(module.tree):
        for operand in (node.left, node.right) if isinstance(node, ast.BinOp) else ():
            name = last(dotted(operand))
            if name and not any(name in _tests(outer) for outer in _around(module, operand)):
                yield name


def _around(module: Module, node: ast.AST) -> Iterator[ast.AST]:
    outer = module.parents.get(id(node))
    while outer is not None:
        yield outer
        outer = module.parents.get(id(outer))


def _tests(node: ast.AST) -> set[str]:
    """What a branch asks about."""
    if not isinstance(node, ast.If | ast.IfExp | ast.BoolOp | ast.While):
        return set()
    asked: list[ast.expr] = node.values if isinstance(node, ast.BoolOp) else [node.test]
    return {last(dotted(each)) for test in asked for each in ast.walk(test)}


@cache
def drawn(module: Module) -> frozenset[str]:
    """The names that are compared with a random number: how often a branch is taken."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(s, ast.Call) and last(dotted(s.func)) in ("random", "rand", "uniform") for s in sides):
                found |= {last(dotted(side)) for side in sides}
    return frozenset(found - {""})


def _imports(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
            if node.module is None:
                yield from ((alias.name, node.level) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)


def _declared_in(module: Module) -> Iterator[tuple[str, tuple[object, str]]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and last(dotted(node.func)) == "add_argument" and node.args:
            yield from _option(node)
        elif isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    for value in _literal(_field_default(field.value)):
                        is_no_number = value is None and _NO_NUMBER.search(ast.unparse(field.annotation))
                        yield field.target.id, (value, NONE if is_no_number else DEFAULT)


def _option(call: ast.Call) -> Iterator[tuple[str, tuple[object, str]]]:
    """What an option is when nobody gives it: a default, a flag that is not set, the first choice of a required one."""
    flags = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    options = {keyword.arg: keyword.value for keyword in call.keywords}
    name = next((flag.lstrip("-") for flag in flags if flag.startswith("--")), flags[0].lstrip("-") if flags else "")
    for given in _literal(options.get("dest")):
        name = str(given)
    name = name.replace("-", "_")
    action = next(iter(_literal(options.get("action"))), None)
    is_required = True in _literal(options.get("required"))  # a default of None beside it is never seen
    if "default" in options and not (is_required and None in _literal(options["default"])):
        for value in _literal(options["default"]):
            yield name, (value, DEFAULT)
    elif action in ("store_true", "store_false"):
        yield name, (action == "store_false", DEFAULT)
    elif "choices" in options:
        for choices in _literal(options["choices"]):
            if isinstance(choices, list | tuple) and choices:
                yield name, (choices[0], CHOICE)


def _literal(node: ast.expr | None) -> Iterator[object]:
    """The value of a literal, if it is one."""
    if node is not None:
        try:
            yield ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError):
            return


def _field_default(value: ast.expr | None) -> ast.expr | None:
    """`x: int = 3`, `x: int = field(default=3)` and `x: list = field(default_factory=lambda: [3])`."""
    if isinstance(value, ast.Call) and last(dotted(value.func)) in ("field", "Field"):
        options = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = options.get("default_factory")
        return factory.body if isinstance(factory, ast.Lambda) else options.get("default")
    return value
