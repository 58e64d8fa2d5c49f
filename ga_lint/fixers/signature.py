"""How does an override receive the count that the Trainer passes?"""

from __future__ import annotations

import libcst as cst

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.commas import appended, bare_comma, line_break
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in

COUNT = "num_items_in_batch"  # the Trainer passes it under this name


def parameters(function: cst.FunctionDef) -> list[cst.Param]:
    """Every named parameter in order, `*args` and `**kwargs` aside."""
    params = function.params
    return [*params.posonly_params, *params.params, *params.kwonly_params]


def parameter_name(function: cst.FunctionDef, index: int) -> str:
    """The name of the parameter at this place; 0 is `self`."""
    params = function.params
    positional = [*params.posonly_params, *params.params]
    if index >= len(positional):
        raise FixNotApplicable(f"{function.name.value} takes its arguments as a tuple")
    return positional[index].name.value


def kwargs_name(function: cst.FunctionDef) -> str | None:
    star = function.params.star_kwarg
    return star.name.value if star is not None else None


def receive_count(edits: Edits, function: cst.FunctionDef) -> str:
    """The name under which the override has the count; the parameter is added where it is missing."""
    if any(param.name.value == COUNT for param in parameters(function)):
        return COUNT
    if COUNT in edits.tree.code(function.body):
        raise FixNotApplicable(f"{function.name.value} takes {COUNT} out of its keyword arguments itself")
    if edits.is_changed(function.params):
        return COUNT  # by another part of the same rewrite
    named = parameters(function)
    gap = line_break(edits.tree, named, len(f", {COUNT}=None")) if named else None
    edits.change(function.params, lambda params: _with_count(params, gap))
    return COUNT


def reads_kwargs(function: cst.FunctionDef) -> bool:
    name = kwargs_name(function)
    return name is not None and name in names_in(function.body)


def _with_count(params: cst.Parameters, gap: cst.ParenthesizedWhitespace | None) -> cst.Parameters:
    """`num_items_in_batch=None` behind the other named parameters, before `**kwargs`."""
    new = cst.Param(cst.Name(COUNT), default=cst.Name("None"), equal=cst.AssignEqual(_NONE, _NONE))
    field = "params" if params.star_arg is cst.MaybeSentinel.DEFAULT else "kwonly_params"
    named = list(params.params if field == "params" else params.kwonly_params)
    if params.star_kwarg is not None:  # in the middle: the comma that leads to **kwargs
        comma = named[-1].comma if named else getattr(params.star_arg, "comma", None)
        new = new.with_changes(comma=bare_comma(comma) if isinstance(comma, cst.Comma) else cst.MaybeSentinel.DEFAULT)
        return params.with_changes(**{field: [*named, new]})
    if not named and field == "kwonly_params":
        star = params.star_arg
        assert isinstance(star, cst.Param)
        star, new = appended([star], new)
        return params.with_changes(star_arg=star, kwonly_params=[new])
    return params.with_changes(**{field: appended(named, new, gap)})


def with_keywords(params: cst.CSTNode, name: str) -> cst.Parameters:
    """`**kwargs` at the end."""
    assert isinstance(params, cst.Parameters)
    field = "kwonly_params" if params.kwonly_params else "params"
    named = list(params.kwonly_params or params.params)
    if not named:
        return params.with_changes(star_kwarg=cst.Param(cst.Name(name)))
    *named, last = appended(named, cst.Param(cst.Name(name)))
    return params.with_changes(**{field: named}, star_kwarg=last)


_NONE = cst.SimpleWhitespace("")
