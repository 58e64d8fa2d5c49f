"""Does a class of the project give the Trainer below it a function that computes the loss?"""

from __future__ import annotations

import ast
from itertools import chain

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.values import Class
from ga_lint.syntax.walk import walk

FUNCTION = "compute_loss_func"


def hands_function(run: Interpreter, cls: Class) -> bool:
    """One of its own: a parameter of that name, which most copies of the signature hand on, is the caller's to fill."""
    ancestry = (one for one in run.names.ancestry(cls) if isinstance(one, Class))
    return any(
        FUNCTION.encode() in one.scope.parsed.source.data and any(map(_gives, walk(one.node))) for one in ancestry
    )


def _gives(node: ast.AST) -> bool:
    match node:
        case (
            ast.keyword(arg="compute_loss_func", value=value)
            | ast.Assign(targets=[ast.Attribute(attr="compute_loss_func")], value=value)
        ):
            return not _is_handed_on(value)
        case ast.Constant(value="compute_loss_func") | ast.Name(id="compute_loss_func", ctx=ast.Store()):
            return True  # timid: a table of arguments, or a name that is set before it is handed on
        case ast.arguments():
            return _has_default(node)
    return False


def _has_default(parameters: ast.arguments) -> bool:
    """Is the parameter filled where nobody fills it?"""
    plain = [*parameters.posonlyargs, *parameters.args]
    defaults = [None] * (len(plain) - len(parameters.defaults)) + parameters.defaults
    pairs = chain(zip(plain, defaults, strict=True), zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True))
    return any(one.arg == FUNCTION and default is not None and not _is_handed_on(default) for one, default in pairs)


def _is_handed_on(value: ast.expr) -> bool:
    """Nothing, or what the caller gave."""
    match value:
        case ast.Constant(value=None) | ast.Name(id="compute_loss_func"):
            return True
    return False
