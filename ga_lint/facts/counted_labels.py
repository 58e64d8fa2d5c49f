"""Which labels does the Trainer count, and over which ranks? What a file or an override changes of that."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ga_lint.facts.model import Place
from ga_lint.syntax.parsed import FunctionNode, ParsedFile


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


def _is_taken_from(value: ast.expr, names: set[str]) -> bool:
    """`inputs["labels"]`, `inputs.pop("labels")`, moved to a device or not."""
    match value:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value="labels")):
            return name in names
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="pop" | "get"), args=[ast.Constant(), *_]):
            return name in names
        case ast.Call(func=ast.Attribute(value=inner, attr="to" | "long" | "contiguous" | "clone" | "cuda")):
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
