"""Is what came out of a process that ran other people's code what it should be? JSON values as dataclasses."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def received(kind: type[T], value: object) -> T:
    """`value`, read from JSON, as an object of the frozen dataclass `kind`; ValueError if it is not one."""
    found: T = _read(kind, value)
    return found


def _read(kind: Any, value: object) -> Any:
    if is_dataclass(kind):
        return _record(kind, value)
    if get_origin(kind) in (Union, types.UnionType):
        return next(_possible(get_args(kind), value))
    if get_origin(kind) in (list, tuple) and isinstance(value, list):
        return get_origin(kind)(_items(get_args(kind), value))
    if get_origin(kind) is dict and isinstance(value, dict):
        return {key: _read(get_args(kind)[1], each) for key, each in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind and not (kind is types.NoneType and value is None):
        raise ValueError(f"{kind} expected, {type(value).__name__} received")
    return value


def _items(kinds: tuple[Any, ...], value: list[object]) -> Iterator[Any]:
    if len(kinds) == 1 or kinds[1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{len(kinds)} items expected, {len(value)} received")
    return map(_read, kinds, value)


def _record(kind: Any, value: object) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{kind.__name__} expected, {type(value).__name__} received")
    hints = get_type_hints(kind)
    unknown = value.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return kind(**{name: _read(hints[name], each) for name, each in value.items()})
    except TypeError as error:  # a field without a default is not there
        raise ValueError(str(error)) from None


def _possible(kinds: tuple[Any, ...], value: object) -> Iterator[Any]:
    for kind in kinds:
        try:
            yield _read(kind, value)
        except ValueError:
            continue
    raise ValueError(f"{type(value).__name__} received")
