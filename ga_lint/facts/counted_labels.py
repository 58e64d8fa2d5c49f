"""Which labels does the Trainer count, and over which ranks? What a file, a class or an override changes of that.

The Trainer counts what stands under the key `labels` of the batches as they are loaded, before `_prepare_inputs`,
`training_step` or `compute_loss` see them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import Answer, Place, Returned
from ga_lint.facts.values import Class
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

_COUNTED = ("labels", "shift_labels")
_SAME_LABELS = ("to", "long", "contiguous", "clone", "cuda")


def labels_in_batch(cls: Class, method: FunctionNode, returns: tuple[Returned, ...]) -> Answer:
    """Does the batch hold a key `labels`, without which the Trainer counts nothing?"""
    if any(_speaks_of_labels(statement) for statement in cls.node.body):
        return Answer.YES
    terms = [term for one in returns for term in one.terms or ()]
    if any(term.site.callee.endswith("own loss") for term in terms) and not _holds_batches(method):
        return Answer.YES
    targets = {term.site.labels_from for term in terms if term.site.named_labels and term.site.labels_from}
    return Answer.NO if targets and len(targets) == len({term.site.call for term in terms}) else Answer.UNKNOWN


def _speaks_of_labels(statement: ast.stmt) -> bool:
    """Is the key read, other than from a part of the batch (`inputs["chosen"]["labels"]`)?"""
    parts = _parts_of_batches(statement)
    nested = {id(key) for node in ast.walk(statement) if (key := _nested_key(node, parts)) is not None}
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and node.value in _COUNTED and id(node) not in nested:
            return True
        if isinstance(node, ast.Attribute) and node.attr == "labels":
            return True
    return False


def _parts_of_batches(statement: ast.stmt) -> set[str]:
    """Names that stand for one entry of a batch: `chosen = inputs["chosen"]`."""
    parts = set()
    for node in ast.walk(statement):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str())),
            ):
                parts.add(name)
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Attribute(value=ast.Name(), attr="pop" | "get"), args=[ast.Constant(), *_]),
            ):
                parts.add(name)
    return parts


def _nested_key(node: ast.AST, parts: set[str]) -> ast.expr | None:
    """The key of a look-up in a part of a batch."""
    match node:
        case ast.Subscript(value=owner, slice=ast.Constant() as key):
            pass
        case ast.Call(func=ast.Attribute(value=owner, attr="pop" | "get"), args=[ast.Constant() as key, *_]):
            pass
        case _:
            return None
    inside = isinstance(owner, ast.Subscript) or (isinstance(owner, ast.Name) and owner.id in parts)
    return key if inside else None


def _holds_batches(method: FunctionNode) -> bool:
    """`model(**inputs["chosen"])`: a batch of batches has no key `labels` of its own."""
    return any(
        keyword.arg is None and isinstance(keyword.value, ast.Subscript)
        for node in ast.walk(method)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )


def replaced_labels(parsed: ParsedFile, method: FunctionNode) -> Iterator[Place]:
    """`inputs["labels"] = ...`, where that is not what stood there before."""
    names = [argument.arg for argument in (*method.args.posonlyargs, *method.args.args)]
    if len(names) < 3:
        return
    batch = names[2]
    kept = {batch}
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_taken_from(value, kept):
                kept.add(name)
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))]) if name != batch:
                kept.discard(name)  # changed in place: `labels[mask] = -100`
    for node in ast.walk(method):
        match node:
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value="labels"))], value=value
            ) if (
                owner == batch
                and not _is_taken_from(value, kept)
                and not (isinstance(value, ast.Name) and value.id in kept)
            ):
                yield Place(parsed.path, parsed.span_of(node))


def prepared_labels(run: Interpreter, cls: Class) -> Iterator[Place]:
    """Where a `_prepare_inputs` of the project's own, or a method that it calls, makes other labels."""
    todo, seen = ["_prepare_inputs"], set()
    while todo:
        name = todo.pop(0)
        found = run.names.method(cls, name) if name not in seen else None
        seen.add(name)
        if found is None:
            continue
        owner, method = found
        for node in ast.walk(method):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=called)):
                    todo.append(called)
                case ast.Assign(
                    targets=[ast.Subscript(value=ast.Name(), slice=ast.Constant(value="labels"))], value=value
                ) if not _is_the_same(value):
                    yield Place(owner.scope.parsed.path, owner.scope.parsed.span_of(node))


def _is_the_same(value: ast.expr) -> bool:
    """Labels that are handed on as they are: read from a batch, moved to a device."""
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    return _is_taken_from(value, names)


def _is_taken_from(value: ast.expr, names: set[str]) -> bool:
    """`inputs["labels"]`, `inputs.pop("labels")`, moved to a device or not."""
    match value:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value="labels")):
            return name in names
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="pop" | "get"), args=[ast.Constant(), *_]):
            return name in names
        case ast.Call(func=ast.Attribute(value=inner, attr=attribute)) if attribute in _SAME_LABELS:
            return _is_taken_from(inner, names) or (isinstance(inner, ast.Name) and inner.id in names)
    return False


def local_averages_of(parsed: ParsedFile) -> Iterator[Place]:
    """Where the count over all ranks is turned off."""
    for node in ast.walk(parsed.tree):
        match node:
            case ast.keyword(arg="average_tokens_across_devices", value=ast.Constant(value=False)):
                yield Place(parsed.path, parsed.span_of(node))
            case ast.Assign(
                targets=[ast.Attribute(attr="average_tokens_across_devices")], value=ast.Constant(value=False)
            ):
                yield Place(parsed.path, parsed.span_of(node))
