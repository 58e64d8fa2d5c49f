"""How does one make code that no test author thought of? Take realistic code apart and put it together wrongly."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable
from typing import cast

Mutation = Callable[[ast.Module, random.Random], None]


def mutants(text: str, seed: int, count: int) -> str:
    """`text` after `count` random mutations; always Python that parses, seldom Python that makes sense."""
    chance = random.Random(seed)
    tree = ast.parse(text)
    if not tree.body:
        return text
    for _ in range(count):
        chance.choice(_MUTATIONS)(tree, chance)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _bodies(tree: ast.Module) -> list[list[ast.stmt]]:
    found = [getattr(node, name, None) for node in ast.walk(tree) for name in ("body", "orelse", "finalbody")]
    return [cast("list[ast.stmt]", body) for body in found if isinstance(body, list) and body]


def _drop_statement(tree: ast.Module, chance: random.Random) -> None:
    body = chance.choice(_bodies(tree))
    body[chance.randrange(len(body))] = ast.Pass()


def _repeat_statement(tree: ast.Module, chance: random.Random) -> None:
    body = chance.choice(_bodies(tree))
    body.insert(chance.randrange(len(body)), copy.deepcopy(chance.choice(body)))


def _move_statement(tree: ast.Module, chance: random.Random) -> None:
    """A statement of one block into another: returns outside of functions, loops inside of themselves."""
    giver, taker = chance.choice(_bodies(tree)), chance.choice(_bodies(tree))
    taker.insert(chance.randrange(len(taker) + 1), copy.deepcopy(chance.choice(giver)))


def _wrap_statement(tree: ast.Module, chance: random.Random) -> None:
    body = chance.choice(_bodies(tree))
    place = chance.randrange(len(body))
    name, inner = ast.Name("step", ast.Load()), [body[place]]
    wrapped: list[ast.stmt] = [
        ast.If(name, inner, []),
        ast.While(name, inner, []),
        ast.For(ast.Name("step", ast.Store()), ast.Name("loader", ast.Load()), inner, []),
        ast.With([ast.withitem(name)], inner),
        ast.Try(inner, [ast.ExceptHandler(None, None, [ast.Pass()])], [], []),
        _function("train", inner),
    ]
    body[place] = chance.choice(wrapped)


def _function(name: str, body: list[ast.stmt]) -> ast.stmt:
    function = ast.parse(f"def {name}(): ...").body[0]  # its fields differ between releases of Python
    cast("ast.FunctionDef", function).body = body
    return function


def _swap_expression(tree: ast.Module, chance: random.Random) -> None:
    """One operand, argument or value for another from the same file."""
    expressions = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.BinOp)]
    holders = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.Return | ast.BinOp | ast.Call)]
    if not expressions or not holders:
        return
    holder, new = chance.choice(holders), copy.deepcopy(chance.choice(expressions))
    for node in ast.walk(new):
        if hasattr(node, "ctx"):
            node.ctx = ast.Load()
    match holder:
        case ast.Assign() | ast.Return():
            holder.value = new
        case ast.BinOp():
            holder.right = new
        case ast.Call():
            holder.args = [*holder.args[1:], new]


def _rename(tree: ast.Module, chance: random.Random) -> None:
    """One name takes the place of another, everywhere."""
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    if not names:
        return
    old, new = chance.choice(names), chance.choice(names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
        if isinstance(node, ast.arg) and node.arg == old and chance.random() < 0.5:
            node.arg = new + "_"


def _spell_call(tree: ast.Module, chance: random.Random) -> None:
    """Arguments that are unpacked, that come in a dictionary, or that are not there."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and (node.args or node.keywords)]
    if not calls:
        return
    call = chance.choice(calls)
    match chance.randrange(4):
        case 0:
            call.args = [ast.Starred(ast.Tuple(call.args, ast.Load()), ast.Load())]
        case 1:
            call.args = [*call.args[:-1], *(ast.Starred(last, ast.Load()) for last in call.args[-1:])]
        case 2:
            named = [one for one in call.keywords if one.arg is not None]
            entries = ast.Dict([ast.Constant(one.arg) for one in named], [one.value for one in named])
            call.keywords = [*(one for one in call.keywords if one.arg is None), ast.keyword(None, entries)]
        case _:
            call.args = []


_MUTATIONS: tuple[Mutation, ...] = (
    _drop_statement, _repeat_statement, _move_statement, _wrap_statement, _swap_expression, _rename,
    _spell_call,
)  # fmt: skip
