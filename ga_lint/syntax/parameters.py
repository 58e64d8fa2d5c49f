"""By which names does a function take its arguments? Those of `*args` and `**kwargs` are no such names."""

from __future__ import annotations

import ast

Parametrised = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def positional_names(function: Parametrised) -> list[str]:
    """The parameters that a position can fill, in order."""
    return [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]


def parameter_names(function: Parametrised) -> list[str]:
    """All parameters, those that only a keyword fills behind the others."""
    return [*positional_names(function), *(parameter.arg for parameter in function.args.kwonlyargs)]
