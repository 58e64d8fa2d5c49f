"""How are the facts of a file shown? As indented text for people, as JSON for bug reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from ga_lint.report.json import Json
from ga_lint.report.text import shown

Facts = dict[str, Json]


def render_json(files: Sequence[tuple[PurePath, Facts]]) -> str:
    objects = [{"filename": path.as_posix(), "facts": facts} for path, facts in files]
    return json.dumps(objects, indent=2) + "\n"


def render_full(files: Sequence[tuple[PurePath, Facts]]) -> str:
    """Kinds of facts of which there is none are named in one line."""
    blocks = ["\n".join([shown(path), *_file(facts)]) for path, facts in files]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _file(facts: Facts) -> Iterator[str]:
    for kind, found in facts.items():
        if isinstance(found, list):
            for each in found:
                yield f"  {kind}:"
                yield from _value(each, 4)
    absent = [kind for kind, found in facts.items() if not found]
    if absent:
        yield f"  none: {', '.join(absent)}"


def _value(value: Json, indent: int) -> Iterator[str]:
    before = " " * indent
    if isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, dict | list) and each:
                yield f"{before}{name}:"
                yield from _value(each, indent + 2)
            else:
                yield f"{before}{name}: {_scalar(each)}"
    elif isinstance(value, list):
        for each in value:
            first, *rest = list(_value(each, indent + 2)) or [f"{before}  none"]
            yield f"{before}- {first[indent + 2 :]}"
            yield from rest
    else:
        yield f"{before}{_scalar(value)}"


def _scalar(value: Json) -> str:
    match value:
        case None | [] | {}:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case "":
            return "''"
    return shown(value)
