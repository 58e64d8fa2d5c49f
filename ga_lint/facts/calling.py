"""Which parameter gets which argument?"""

from __future__ import annotations

from ga_lint.facts.values import UNKNOWN, Function, Items, Table, Value


def bind(function: Function, positional: tuple[Value, ...], named: tuple[tuple[str, Value], ...]) -> dict[str, Value]:
    """Arguments by parameter name; what is left over goes to `*args` and `**kwargs`."""
    parameters = function.node.args
    names = [parameter.arg for parameter in (*parameters.posonlyargs, *parameters.args)]
    values: dict[str, Value] = dict(function.preset)
    if function.bound is not None and names:
        values[names[0]] = function.bound
        names = names[1:]
    names = [name for name in names if name not in values]
    values.update(zip(names, positional, strict=False))
    known = {*names, *(parameter.arg for parameter in parameters.kwonlyargs)}
    rest: list[tuple[str, Value]] = []
    for name, value in named:
        if name in known:
            values[name] = value
        else:
            rest.append((name, value))
    if parameters.kwarg is not None and rest:
        entries = tuple((name, value) for name, value in rest if name != "**")
        unpacked = [value for name, value in rest if name == "**"]
        values[parameters.kwarg.arg] = Table(entries, unpacked[0] if unpacked else UNKNOWN)
    if parameters.vararg is not None and len(positional) > len(names):
        values[parameters.vararg.arg] = Items(positional[len(names) :])
    return values
