"""Is a class with a `forward` a model that a Trainer of transformers' trains, and how do we know?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ga_lint.diagnostics import Confidence
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.setups import builds_trainer_of_transformers
from ga_lint.facts.values import Class, alternatives
from ga_lint.syntax.bindings import ImportedName
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import last_name
from ga_lint.syntax.walk import walk

HEAD = re.compile(r"PreTrainedModel$|LMHeadModel$|For[A-Z][A-Za-z]+$|GenericFor")
_LIBRARYS = re.compile(r"[A-Z]\w*Model$")  # `Gemma3TextModel`, where transformers is what it comes from
_OF_LIGHTNING = re.compile(rb"^\s*(?:import|from)\s+(?:lightning|pytorch_lightning)\b", re.MULTILINE)
_OF_TRANSFORMERS = (b"TrainingArguments", b"transformers.Trainer")
_SAME_NETWORK = frozenset({"to", "cuda", "cpu", "float", "half", "bfloat16", "double", "train", "eval"})
MAX_HOMES = 8  # other files that are searched for a place where it is built and handed over


def model_kind(run: Interpreter, parsed: ParsedFile, cls: Class, method: FunctionNode) -> tuple[str, Confidence] | None:
    """What makes it a model that a Trainer trains, and how sure that is."""
    bases = list(_base_names(cls.node, parsed))
    library = from_transformers(run, parsed)
    head = next((base for base in bases if HEAD.search(base)), None)
    head = head or next((base for base in bases if base in library and _LIBRARYS.match(base)), None)
    if head is not None:
        return head, Confidence.CERTAIN if any(base in library for base in bases) else Confidence.LIKELY
    if any(isinstance(n, ast.Attribute) and n.attr == "loss_function" for s in method.body for n in walk(s)):
        return "a head of transformers", Confidence.LIKELY
    if any(base.endswith("LightningModule") for base in bases):
        return None
    if _is_handed_to_a_trainer(run, parsed, cls):
        return "a model that is handed to a Trainer", Confidence.CERTAIN
    return _by_its_signature(run, parsed, cls, method, bases)


def _by_its_signature(
    run: Interpreter, parsed: ParsedFile, cls: Class, method: FunctionNode, bases: list[str]
) -> tuple[str, Confidence] | None:
    """A module that answers as a head does, in a file that speaks of transformers or calls itself a head."""
    called_so = bool(HEAD.search(cls.node.name))
    named = called_so and "GenerationMixin" in bases and method.args.kwarg is not None
    if not any(base.endswith("Module") for base in bases) or not (named or from_transformers(run, parsed)):
        return None
    answers = any(map(_names_loss, _nodes(method))) or (called_so and any(map(_loss_comes_first, _nodes(method))))
    # timid: nobody in this project builds a Trainer of transformers', so a loop of its own may train it
    known = Confidence.LIKELY if _trains_with_transformers(run) else Confidence.POSSIBLE
    return ("a model with a head's signature", known) if answers else None


def _nodes(method: FunctionNode) -> Iterator[ast.AST]:
    for statement in method.body:
        yield from walk(statement)


def _names_loss(node: ast.AST) -> bool:
    return (isinstance(node, ast.Constant) and node.value == "loss") or (
        isinstance(node, ast.keyword) and node.arg == "loss"
    )


def _loss_comes_first(node: ast.AST) -> bool:
    """`return (loss, logits)`: of a tuple, the Trainer takes the first."""
    match node:
        case ast.Return(value=ast.Tuple(elts=[first, _, *_])):
            return last_name(first).endswith("loss")
    return False


def _trains_with_transformers(run: Interpreter) -> bool:
    """Does a file of the project build a Trainer other than Lightning's?"""
    for path in run.project.mentioning(b"Trainer("):
        home = run.project.file(path) if path.suffix == ".py" else None
        data = home.source.data if home is not None else b""
        if not _OF_LIGHTNING.search(data) or any(word in data for word in _OF_TRANSFORMERS):
            return True
    return False


def _base_names(node: ast.ClassDef, parsed: ParsedFile) -> Iterator[str]:
    """The names of its bases, and of theirs where they stand in the same file."""
    local = {n.name: n for n in parsed.tree.body if isinstance(n, ast.ClassDef)}
    todo, seen = [node], {node.name}
    while todo:
        for base in todo.pop().bases:
            name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
            if name and name not in seen:
                seen.add(name)
                yield name
                if name in local:
                    todo.append(local[name])


def from_transformers(run: Interpreter, parsed: ParsedFile) -> set[str]:
    """The names that the file imports from transformers."""
    names = run.project.bindings(parsed).by_name
    return {
        name
        for name, bound in names.items()
        if any(isinstance(one, ImportedName) and one.module.partition(".")[0] == "transformers" for one in bound)
    }


def _is_handed_to_a_trainer(run: Interpreter, parsed: ParsedFile, cls: Class) -> bool:
    """In its own file, or in one that imports it."""
    if _hands_over(run, parsed, cls.node.name):
        return True
    homes = [path for path in run.project.scripts_naming(cls.node.name) if path != parsed.path][:MAX_HOMES]
    others = (home for path in homes if (home := run.project.file(path)) is not None)
    return any(_imports(run, home, cls) and _hands_over(run, home, cls.node.name) for home in others)


def _imports(run: Interpreter, home: ParsedFile, cls: Class) -> bool:
    """Is this the class that the other file has under its name?"""
    name = cls.node.name
    if f"{name}(".encode() not in home.source.data or b"Trainer(" not in home.source.data:
        return False
    value = run.module_expression(ast.Name(name, ast.Load()), run.names.module(home))
    same = (one for one in alternatives(value) if isinstance(one, Class) and one.node.lineno == cls.node.lineno)
    return any(one.scope.parsed.path.resolve() == cls.scope.parsed.path.resolve() for one in same)


def _hands_over(run: Interpreter, parsed: ParsedFile, name: str) -> bool:
    """`Trainer(model=Net(...))`, `model = Net(...).to(device)` and `Trainer(model, ...)` in one file."""
    if b"Trainer(" not in parsed.source.data:
        return False
    calls = list(parsed.speaking(ast.Call, name, "Trainer"))
    if not any(isinstance(call.func, ast.Name) and call.func.id == name for call in calls):
        return False
    models = {name}
    for node in parsed.speaking(ast.Assign, name):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if _built(value) == name:
                models.add(target)
    for call in calls:
        if last_name(call.func).endswith("Trainer"):
            given = [keyword.value for keyword in call.keywords if keyword.arg == "model"] or call.args[:1]
            if any(_built(one) in models for one in given) and builds_trainer_of_transformers(run, parsed, call):
                return True
    return False


def _built(value: ast.expr) -> str:
    """The name of what is called, or handed over as it is: `Net` of `Net(...).float().to(device)`."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _SAME_NETWORK:
        value = value.func.value
    inner = value.func if isinstance(value, ast.Call) else value
    return inner.id if isinstance(inner, ast.Name) else ""
