"""Which labels does the Trainer count, and over which ranks? What a file, a class or an override changes of that.

The Trainer counts what stands under the key `labels` of the batches as they are loaded, before `_prepare_inputs`,
`training_step` or `compute_loss` see them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.model import LOCAL_AVERAGE, Answer, LocalAverage, Place, Returned
from ga_lint.facts.values import Class
from ga_lint.syntax.parameters import positional_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.walk import walk

_COUNTED = ("labels", "shift_labels")
_ARGUMENTS = re.compile(r"(TrainingArguments|Config|Args|Arguments)$")
_OTHER_TARGETS = re.compile(r"^labels?_\w|\w_labels?$")
_SAME_LABELS = ("to", "long", "contiguous", "clone", "cuda")


def labels_in_batch(
    cls: Class, method: FunctionNode, returns: tuple[Returned, ...], reads: tuple[tuple[Place, Place], ...] = ()
) -> Answer:
    """Does the batch hold a key `labels`, without which the Trainer counts nothing?

    `reads`: calls of the model whose own loss is read, for whatever use: without labels it has none.
    """
    # An override that takes its labels from a part of the batch decides; what its helpers call so is that part's.
    nested = _reads_parts(method)
    lines = cls.scope.parsed.source.lines
    if any(_speaks_of_labels(one, lines) for one in ([method] if nested else cls.node.body)):
        return Answer.YES
    sites = {term.site for one in returns for term in one.terms or ()}
    own = {site for site in sites if site.is_models_own}
    if any(site.labels_from in ("", *_COUNTED) and _is_unpacked(method, site.call, cls) for site in own):
        return Answer.YES
    targets = {site.labels_from for site in sites if site.named_labels}
    if targets and targets.isdisjoint(("", *_COUNTED)):
        return Answer.NO
    return Answer.YES if any(_is_unpacked(method, place, cls) for place, _ in reads) else Answer.UNKNOWN


def _is_unpacked(method: FunctionNode, place: Place, cls: Class) -> bool:
    """`model(**inputs)`, not `model(inputs)`: a model that takes the batch whole is none of transformers'."""
    parsed = cls.scope.parsed
    for call in parsed.find(ast.Call, method):
        if parsed.span_of(call) == place.span:
            given = {keyword.arg for keyword in call.keywords}
            return "labels" in given or (None in given and not _hands_other_targets(call, method))
    return True


def _hands_other_targets(call: ast.Call, method: FunctionNode) -> bool:
    """`model(**inputs, start_labels=start)`, `model(**inputs, **targets)`: the model has targets for several tasks."""
    tables = {
        keyword.value.id for keyword in call.keywords if keyword.arg is None and isinstance(keyword.value, ast.Name)
    }
    # A switch (`return_labels=True`) is no target.
    names = [one.arg or "" for one in call.keywords if not isinstance(one.value, ast.Constant)]
    for node in walk(method):
        match node:
            case ast.Assign(targets=[ast.Name(id=table)], value=ast.Dict(keys=keys)) if table in tables:
                names += [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    return any(_OTHER_TARGETS.search(name) for name in names)


def _speaks_of_labels(statement: ast.stmt, lines: Sequence[str]) -> bool:
    """Is the key read, other than from a part of the batch (`inputs["chosen"]["labels"]`)?"""
    if not any("labels" in line for line in lines[statement.lineno - 1 : statement.end_lineno]):
        return False
    nodes = walk(statement)
    parts = _parts_of_batches(nodes)
    elsewhere = {id(key) for node in nodes for key in _keys_of_others(node, parts)}
    for node in nodes:
        if isinstance(node, ast.Constant) and node.value in _COUNTED and id(node) not in elsewhere:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _COUNTED:
            return True
    return False


def _reads_parts(method: FunctionNode) -> bool:
    nodes = walk(method)
    parts = _parts_of_batches(nodes)
    keys = (_read_of(node, parts) for node in nodes)
    return any(isinstance(key, ast.Constant) and key.value in _COUNTED for key in keys)


def _parts_of_batches(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that stand for one entry of a batch, or for what was made of one: `chosen = inputs["chosen"]`."""
    parts: set[str] = set()
    assigned = [node for node in nodes if isinstance(node, ast.Assign)]
    while True:
        before = len(parts)
        for node in assigned:
            if any(isinstance(target, ast.Name) for target in node.targets) and _is_part(node.value, parts):
                parts |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if len(parts) == before:
            return parts


def _is_part(value: ast.AST, parts: set[str]) -> bool:
    match value:
        case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str())):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(), attr="pop" | "get"), args=[ast.Constant(), *_]):
            return True
        case ast.Dict(values=values):
            return bool(values) and any(_read_of(one, parts) is not None for one in values)
        case ast.DictComp(generators=[ast.comprehension(iter=source), *_]):
            return any(_is_part(node, parts) or getattr(node, "id", None) in parts for node in walk(source))
    return False


def _keys_of_others(node: ast.AST, parts: set[str]) -> Iterator[ast.expr]:
    """Keys that are read from a part of a batch, or that are written."""
    key = _read_of(node, parts)
    if key is not None:
        yield key
    match node:
        case ast.Dict(keys=keys):
            yield from (one for one in keys if one is not None)
        case ast.DictComp() if _is_part(node, parts):
            yield from (one for one in walk(node) if isinstance(one, ast.Constant))


def _read_of(node: ast.AST, parts: set[str]) -> ast.expr | None:
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


def replaced_labels(parsed: ParsedFile, method: FunctionNode) -> Iterator[Place]:
    """`inputs["labels"] = ...` in an override, where that is not what stood there before."""
    names = positional_names(method)
    if len(names) > 2:
        yield from _replaced(parsed, method, {names[2]})


def prepared_labels(run: Interpreter, cls: Class) -> Iterator[Place]:
    """Where a class's own `_prepare_inputs`, or a method that it calls, makes other labels."""
    todo, seen = ["_prepare_inputs"], set()
    while todo:
        name = todo.pop(0)
        found = run.names.method(cls, name) if name not in seen else None
        seen.add(name)
        if found is None or found[0].scope.parsed is not cls.scope.parsed:
            continue
        owner, method = found
        for node in walk(method):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=called)):
                    todo.append(called)
        yield from _replaced(owner.scope.parsed, method, None)


def _replaced(parsed: ParsedFile, method: FunctionNode, batches: set[str] | None) -> Iterator[Place]:
    """Where other labels are put into one of these batches, or into any."""
    kept = _kept_labels(method)
    for node in walk(method):
        match node:
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value="labels"))], value=value
            ) if (batches is None or owner in batches) and not _is_kept(value, kept):
                yield Place(parsed.path, parsed.span_of(node))


def _kept_labels(method: FunctionNode) -> set[str]:
    """Names of the labels as they were, or cut to fewer positions: which targets that drops is not known."""
    kept: set[str] = set()
    assigned = [node for node in walk(method) if isinstance(node, ast.Assign)]
    for _ in range(2):  # a name may get its labels from another
        for node in assigned:
            for target in node.targets:
                if isinstance(target, ast.Name) and _is_kept(node.value, kept):
                    kept.add(target.id)
    for node in assigned:
        for target in node.targets:
            match target:
                case ast.Subscript(value=ast.Name(id=name)) if not isinstance(target.slice, ast.Constant):
                    kept.discard(name)  # changed in place: `labels[mask] = -100`
    return kept


def _is_kept(value: ast.expr, kept: set[str]) -> bool:
    """`inputs["labels"]`, `inputs.pop("labels")`, moved, copied, padded or cut."""
    match value:
        case ast.Name(id=name):
            return name in kept
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            return key == "labels"
        case ast.Subscript(value=inner):
            return _is_kept(inner, kept)
        case ast.Call(func=ast.Attribute(attr="pop" | "get"), args=[ast.Constant(value=key), *_]):
            return key == "labels"
        case ast.Call(func=ast.Attribute(attr="pad"), args=[inner, *_]):
            return _is_kept(inner, kept)
        case ast.Call(func=ast.Attribute(value=inner, attr=attribute)) if attribute in _SAME_LABELS:
            return _is_kept(inner, kept)
    return False


def local_averages_of(parsed: ParsedFile) -> Iterator[LocalAverage]:
    """Where the count over all ranks is turned off: for one Trainer, or as a default of arguments."""
    if LOCAL_AVERAGE not in parsed.source.data:
        return
    for node in parsed.speaking_below(parsed.tree, LOCAL_AVERAGE.decode()):
        match node:
            case ast.ClassDef(bases=bases, body=body) if any(_ARGUMENTS.search(ast.unparse(base)) for base in bases):
                yield from (_local(parsed, one, "field") for one in body if _turns_off(one))
            case ast.keyword(arg="average_tokens_across_devices", value=ast.Constant(value=False)):
                yield _local(parsed, node, "argument")
            case ast.Assign(
                targets=[ast.Attribute(attr="average_tokens_across_devices")], value=ast.Constant(value=False)
            ):
                yield _local(parsed, node, "statement")


def _local(parsed: ParsedFile, node: ast.AST, role: str) -> LocalAverage:
    return LocalAverage(Place(parsed.path, parsed.span_of(node)), role)


def _turns_off(field: ast.stmt) -> bool:
    """`average_tokens_across_devices: bool = False`, or `= field(default=False)`."""
    match field:
        case ast.AnnAssign(target=ast.Name(id="average_tokens_across_devices"), value=ast.Constant(value=False)):
            return True
        case ast.AnnAssign(target=ast.Name(id="average_tokens_across_devices"), value=ast.Call(keywords=keywords)):
            values = (one.value for one in keywords if one.arg == "default")
            return any(isinstance(value, ast.Constant) and value.value is False for value in values)
    return False
